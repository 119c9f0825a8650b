//! What is remembered about names. Pure: time comes in as an argument, counted from any fixed moment.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::limits;

/// Addresses of one name, with port 0.
pub type Addresses = Arc<[SocketAddr]>;

/// Answers by name; at most [`limits::NAMES_MAX`], those asked for last.
#[derive(Debug, Default)]
pub struct Cache {
    names: HashMap<String, Name>,
}

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For [`io::Error`].
    pub kind: io::ErrorKind,
    /// The system's number, if it gave one: a process without descriptors must be told from a name without addresses.
    pub code: Option<i32>,
    /// The system's words.
    pub text: String,
}

/// What the cache says about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// To be used.
    Known(Addresses),
    /// It failed a moment ago.
    Failed(Failure),
    /// To be looked up. Until then, or if that fails, this older answer may serve.
    Ask(Option<Addresses>),
}

#[derive(Debug, Default)]
struct Name {
    answer: Option<Answer>,
    failure: Option<(Failure, Duration)>,
    used: Duration,
}

#[derive(Debug)]
struct Answer {
    addresses: Addresses,
    since: Duration,
    /// Every address failed since: only better than nothing.
    doubted: bool,
}

impl Cache {
    /// What is known about `host`.
    pub fn look(&mut self, host: &str, now: Duration) -> Look {
        let Some(name) = self.names.get_mut(host) else { return Look::Ask(None) };
        name.used = now;
        let answer = name.answer.as_ref().filter(|answer| now < answer.since + limits::NAME_STALE_MAX);
        let addresses = answer.map(|answer| answer.addresses.clone());
        let fresh = answer.is_some_and(|answer| !answer.doubted && now < answer.since + limits::NAME_FRESH);
        let failure = name.failure.as_ref().filter(|(_, since)| now < *since + limits::NAME_FAILED);
        match (addresses, failure) {
            (Some(addresses), _) if fresh => Look::Known(addresses),
            (Some(addresses), Some(_)) => Look::Known(addresses),
            (None, Some((failure, _))) => Look::Failed(failure.clone()),
            (addresses, None) => Look::Ask(addresses),
        }
    }

    /// Takes what a lookup found.
    pub fn learn(&mut self, host: &str, found: Result<Vec<SocketAddr>, Failure>, now: Duration) {
        if !self.names.contains_key(host) {
            self.make_room();
        }
        let name = self.names.entry(host.to_owned()).or_default();
        name.used = now;
        match found {
            Ok(addresses) => {
                name.answer = Some(Answer { addresses: addresses.into(), since: now, doubted: false });
                name.failure = None;
            }
            Err(failure) => name.failure = Some((failure, now)),
        }
    }

    /// Every address of `host` failed: the next one who asks looks it up again. An answer of this moment stays, so
    /// that an origin which is down does not cost a lookup for each request.
    pub fn doubt(&mut self, host: &str, now: Duration) {
        if let Some(answer) = self.names.get_mut(host).and_then(|name| name.answer.as_mut()) {
            answer.doubted |= now >= answer.since + limits::NAME_FAILED;
        }
    }

    fn make_room(&mut self) {
        if self.names.len() >= limits::NAMES_MAX {
            let oldest = self.names.iter().min_by_key(|(_, name)| name.used).map(|(host, _)| host.clone());
            oldest.and_then(|host| self.names.remove(&host));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn addresses(last: u8) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([192, 0, 2, last], 0))]
    }

    fn failure() -> Failure {
        Failure { kind: io::ErrorKind::NotFound, code: None, text: "no such name".into() }
    }

    fn known(last: u8) -> Look {
        Look::Known(addresses(last).into())
    }

    fn ask(last: u8) -> Look {
        Look::Ask(Some(addresses(last).into()))
    }

    #[test]
    fn an_answer_serves_a_minute_and_an_hour_in_need() {
        let mut cache = Cache::default();
        assert_eq!(cache.look("a", at(0)), Look::Ask(None));
        cache.learn("a", Ok(addresses(1)), at(0));
        for (millis, expected) in
            [(0, known(1)), (59_999, known(1)), (60_000, ask(1)), (3_599_999, ask(1)), (3_600_000, Look::Ask(None))]
        {
            assert_eq!(cache.look("a", at(millis)), expected, "at {millis}");
        }
        // The refresh fails: the old answer serves, and a second later another refresh is due.
        cache.learn("a", Err(failure()), at(70_000));
        assert_eq!(cache.look("a", at(70_999)), known(1));
        assert_eq!(cache.look("a", at(71_000)), ask(1));
        cache.learn("a", Ok(addresses(2)), at(71_500));
        assert_eq!(cache.look("a", at(131_499)), known(2));
    }

    #[test]
    fn a_failure_serves_a_second() {
        let mut cache = Cache::default();
        cache.learn("a", Err(failure()), at(500));
        assert_eq!(cache.look("a", at(1499)), Look::Failed(failure()));
        assert_eq!(cache.look("a", at(1500)), Look::Ask(None));
    }

    #[test]
    fn an_answer_that_leads_nowhere_is_asked_for_again_but_not_at_once() {
        let mut cache = Cache::default();
        cache.learn("a", Ok(addresses(1)), at(0));
        cache.doubt("a", at(999));
        assert_eq!(cache.look("a", at(999)), known(1));
        cache.doubt("a", at(1000));
        assert_eq!(cache.look("a", at(1000)), ask(1));
        cache.doubt("unknown", at(1000));
    }

    #[test]
    fn the_name_that_nobody_asks_for_makes_room() {
        let mut cache = Cache::default();
        for index in 0..limits::NAMES_MAX {
            cache.learn(&format!("n{index}"), Ok(addresses(1)), at(index as u64));
        }
        cache.look("n0", at(1000));
        cache.learn("new", Ok(addresses(2)), at(1001));
        assert_eq!(cache.names.len(), limits::NAMES_MAX);
        assert_eq!(cache.look("n1", at(1002)), Look::Ask(None));
        assert_eq!(cache.look("n0", at(1002)), known(1));
    }
}
