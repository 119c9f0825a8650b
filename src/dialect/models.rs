//! Lists of models: read in either vendor's shape, merged, and written in the shape that the client asks for.
//!
//! OpenAI: `{"object":"list","data":[{"id","object":"model","created","owned_by"}]}`. Anthropic:
//! `{"data":[{"type":"model","id","display_name","created_at"}],"first_id","last_id","has_more"}`. An entry that is asked
//! for in the shape it came in keeps all its other members (context lengths, prices).

use std::collections::HashSet;
use std::str::FromStr;

use simd_json::OwnedValue;
use simd_json::prelude::{
    ValueAsArray, ValueAsMutObject, ValueAsScalar, ValueObjectAccess, ValueTryAsScalar, Writable,
};

use super::{Dialect, Face};
use crate::json::text::encode;
use crate::limits;

/// One model.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The name under which it can be asked for here.
    pub id: String,
    /// Who has it.
    pub owner: String,
    /// The entry as it came, and in which shape.
    entry: Option<(Face, OwnedValue)>,
}

/// The models that there are, each name once, at most [`limits::MODELS_MAX`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Models {
    list: Vec<Model>,
    names: HashSet<String>,
}

impl Models {
    /// Adds a name that the configuration knows.
    pub fn add_name(&mut self, id: &str, owner: &str) {
        self.add(Model { id: id.to_owned(), owner: owner.to_owned(), entry: None });
    }

    /// Adds what a provider listed on `face`; `name` gives the name under which each of its names can be asked for here.
    /// False if `body` is no list of models.
    pub fn add_list(&mut self, face: Face, body: &mut [u8], owner: &str, name: impl Fn(&str) -> String) -> bool {
        let Ok(list) = simd_json::to_owned_value(body) else { return false };
        let Some(entries) = list.get("data").and_then(ValueAsArray::as_array) else { return false };
        for entry in entries {
            if let Some(id) = entry.get("id").and_then(ValueAsScalar::as_str) {
                self.add(Model { id: name(id), owner: owner.to_owned(), entry: Some((face, entry.clone())) });
            }
        }
        true
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn add(&mut self, model: Model) {
        if self.list.len() < limits::MODELS_MAX && self.names.insert(model.id.clone()) {
            self.list.push(model);
        }
    }

    /// The model that `is` recognises by its name.
    pub fn find(&self, is: impl Fn(&str) -> bool) -> Option<&Model> {
        self.list.iter().find(|model| is(&model.id))
    }

    /// Appends the list in the shape of `dialect`'s vendor.
    pub fn write(&self, dialect: Dialect, out: &mut Vec<u8>) {
        let face = dialect.face();
        out.extend_from_slice(if face == Face::Anthropic {
            b"{\"data\":["
        } else {
            b"{\"object\":\"list\",\"data\":["
        });
        for (place, model) in self.list.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            model.write(dialect, out);
        }
        out.push(b']');
        if face == Face::Anthropic {
            out.extend_from_slice(b",\"has_more\":false,\"first_id\":");
            write_id(self.list.first(), out);
            out.extend_from_slice(b",\"last_id\":");
            write_id(self.list.last(), out);
        }
        out.push(b'}');
    }
}

fn write_id(model: Option<&Model>, out: &mut Vec<u8>) {
    match model {
        Some(model) => encode(model.id.as_bytes(), out),
        None => out.extend_from_slice(b"null"),
    }
}

impl Model {
    /// Appends the entry in the shape of `dialect`'s vendor.
    pub fn write(&self, dialect: Dialect, out: &mut Vec<u8>) {
        let face = dialect.face();
        if let Some((same, entry)) = &self.entry
            && *same == face
        {
            let mut entry = entry.clone();
            if let Some(members) = entry.as_object_mut() {
                members.insert("id".to_owned(), self.id.as_str().into());
            }
            out.extend_from_slice(entry.encode().as_bytes());
            return;
        }
        let member = |name: &str| self.entry.as_ref().and_then(|(_, entry)| entry.get(name));
        out.extend_from_slice(b"{\"id\":");
        encode(self.id.as_bytes(), out);
        match face {
            Face::OpenAi => {
                let created = member("created_at").and_then(ValueAsScalar::as_str).and_then(seconds).unwrap_or(0);
                out.extend_from_slice(format!(",\"object\":\"model\",\"created\":{created},\"owned_by\":").as_bytes());
                encode(self.owner.as_bytes(), out);
            }
            Face::Anthropic => {
                let created = member("created").and_then(|created| created.try_as_u64().ok()).unwrap_or(0);
                out.extend_from_slice(b",\"type\":\"model\",\"display_name\":");
                let shown = member("name").and_then(ValueAsScalar::as_str).unwrap_or(&self.id);
                encode(shown.as_bytes(), out);
                out.extend_from_slice(b",\"created_at\":");
                encode(timestamp(created).as_bytes(), out);
            }
        }
        out.push(b'}');
    }
}

/// Days from 1970-01-01 to a Gregorian date; years are counted from March, so that the leap day comes last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (153 * month + 2) / 5 + day
        - 1
        - 719_468
}

/// Seconds since 1970 of `2026-11-22T13:01:04Z`; fractions and offsets are not looked at.
fn seconds(text: &str) -> Option<i64> {
    let part = |from: usize, to: usize| i64::from_str(text.get(from..to)?).ok();
    let date = days(part(0, 4)?, part(5, 7).filter(|month| (1..=12).contains(month))?, part(8, 10)?);
    let time = |from, to| part(from, to).unwrap_or(0);
    Some(date * 86_400 + time(11, 13) * 3600 + time(14, 16) * 60 + time(17, 19))
}

/// The reverse.
fn timestamp(seconds: u64) -> String {
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = crate::telemetry::log::civil(day);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENAI: &str = r#"{"object":"list","data":[{"id":"gpt-4o","object":"model","created":1715367049,"owned_by":"system","context_length":128000},{"id":"o3"}]}"#;
    const ANTHROPIC: &str = r#"{"data":[{"type":"model","id":"claude-a","display_name":"Claude A","created_at":"2025-02-19T00:00:00Z"}],"has_more":false}"#;

    fn merged() -> Models {
        let mut models = Models::default();
        models.add_name("fast", "groq");
        assert!(models.add_list(Face::OpenAi, &mut OPENAI.as_bytes().to_vec(), "openai", str::to_owned));
        assert!(models.add_list(Face::Anthropic, &mut ANTHROPIC.as_bytes().to_vec(), "anthropic", |id| {
            format!("anthropic/{id}")
        }));
        assert!(models.add_list(Face::OpenAi, &mut OPENAI.as_bytes().to_vec(), "again", str::to_owned));
        models
    }

    fn written(dialect: Dialect) -> OwnedValue {
        let mut out = Vec::new();
        merged().write(dialect, &mut out);
        simd_json::to_owned_value(&mut out).unwrap()
    }

    #[test]
    fn the_clients_shape() {
        let list = written(Dialect::Chat);
        let data = list["data"].as_array().unwrap();
        let ids: Vec<_> = data.iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["fast", "gpt-4o", "o3", "anthropic/claude-a"]);
        assert_eq!(data[1]["context_length"].as_u64(), Some(128_000), "what came in this shape stays whole");
        assert_eq!(data[3]["created"].as_u64(), Some(1_739_923_200));
        assert_eq!(data[3]["owned_by"].as_str(), Some("anthropic"));

        let list = written(Dialect::Messages);
        assert_eq!(list["data"][3]["display_name"].as_str(), Some("Claude A"));
        assert_eq!(list["data"][1]["created_at"].as_str(), Some("2024-05-10T18:50:49Z"));
        assert_eq!((list["first_id"].as_str(), list["last_id"].as_str()), (Some("fast"), Some("anthropic/claude-a")));
        assert_eq!(list["has_more"].as_bool(), Some(false));
    }

    #[test]
    fn one_model() {
        let models = merged();
        assert_eq!(models.find(|name| name == "o3").unwrap().owner, "openai");
        assert!(models.find(|name| name == "claude-a").is_none());
    }

    #[test]
    fn what_is_no_list_is_said() {
        for body in ["", "{", "[]", "{\"data\":{}}", "<html>"] {
            assert!(!Models::default().add_list(Face::OpenAi, &mut body.as_bytes().to_vec(), "x", str::to_owned));
        }
        let mut empty = Vec::new();
        Models::default().write(Dialect::Messages, &mut empty);
        assert_eq!(empty, br#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#);
    }

    #[test]
    fn dates() {
        for (text, want) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-02-29T12:00:01Z", Some(951_825_601)),
            ("2025-02-19", Some(1_739_923_200)),
            ("soon", None),
            ("2025-13-19", None),
        ] {
            assert_eq!(seconds(text), want, "{text}");
            if let Some(want) = want.filter(|_| text.len() == 20) {
                assert_eq!(timestamp(want as u64), text);
            }
        }
    }
}
