use super::row::{Column, Row};
use super::table::TABLE;
use super::*;
use crate::dialect::usage::Usage;

fn own(text: &str) -> Prices {
    Prices::parse(text).unwrap_or_else(|wrong| panic!("{wrong:?} in {text}"))
}

/// `input cache_read cache_write output`, in dollars for a million tokens.
fn shown(price: Option<Price>) -> String {
    let Some(Price { rates, .. }) = price else { return "unknown".to_owned() };
    let dollars = |picos: u64| (picos as f64 / 1e6).to_string();
    [rates.input, rates.cache_read, rates.cache_write, rates.output].map(dollars).join(" ")
}

#[test]
fn the_built_in_table_is_whole() {
    let mut lines = TABLE.lines();
    let comment = lines.next().unwrap();
    assert!(
        comment.starts_with("# Prices as of ") && comment.contains("scripts/prices") && comment.contains("licence")
    );
    assert!(date().len() == 10 && date().split('-').count() == 3, "{}", date());
    assert_eq!(lines.next().unwrap(), Column::ALL.map(Column::name).join(","));
    let mut before = None;
    for line in lines {
        let row = Row::read(&Column::ALL, line).unwrap_or_else(|wrong| panic!("{line}: {wrong:?}"));
        let key = (row.provider, row.model, row.above);
        assert!(before < Some(key), "{line} is out of order, or stands twice");
        // One row without `above` and at most one with it: more would be passed over.
        let same = before.is_some_and(|(provider, model, _)| (provider, model) == (row.provider, row.model));
        assert_eq!(row.above.is_some(), same, "{line}");
        assert!(!before.is_some_and(|(_, _, above)| above.is_some() && same), "{line}");
        assert!(!line.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b' ' || byte == b'"'), "{line}");
        // A lookup finds it, wherever it stands.
        let found = table::exact(row.provider, row.model).unwrap_or_else(|| panic!("{line} is not found"));
        match row.above {
            None => assert_eq!((found.rates, found.context), (row.rates, row.context), "{line}"),
            Some(above) => assert_eq!(found.long, Some((above, row.rates)), "{line}"),
        }
        before = Some(key);
    }
    assert!(TABLE.len() < 150_000, "{} bytes", TABLE.len());
}

#[test]
fn names_that_are_listed_otherwise() {
    let known = |provider: &str, model: &str| shown(Prices::default().of(provider, model));
    // Whatever the table's prices are at present; where a renewal drops one of these models, another one serves.
    let sonnet = known("anthropic", "claude-sonnet-4-6");
    assert_ne!(sonnet, "unknown");
    for (provider, model) in [
        ("anthropic", "claude-sonnet-4-6-20260217"),
        ("anthropic", "claude-sonnet-4-6@20260217"),
        ("anthropic", "claude-sonnet-4-6@2026-02-17"),
        ("anthropic", "Claude-Sonnet-4-6[1m]"),
        ("anthropic", "anthropic/claude-sonnet-4-6-20260217[1m]"),
        ("openrouter", "anthropic/claude-sonnet-4.6"),
        ("openrouter", "openrouter/anthropic/claude-sonnet-4.6"),
        ("openrouter", "anthropic/claude-sonnet-4-6-20260217"),
    ] {
        assert_eq!(known(provider, model), sonnet, "{provider} {model}");
    }
    for ((provider, model), same) in [
        (("gemini", "models/gemini-2.5-pro"), ("gemini", "gemini-2.5-pro")),
        (("gemini", "models/gemini-2.5-flash-001"), ("gemini", "gemini-2.5-flash")),
        (("openrouter", "google/gemini-2.5-pro"), ("gemini", "gemini-2.5-pro")),
        (("openrouter", "openai/gpt-5.1"), ("openai", "gpt-5.1")),
        (("openrouter", "openai/o3"), ("openai", "o3")),
        (("openai", "gpt-5.1-2025-11-13"), ("openai", "gpt-5.1")),
        (("openai", "gpt-5.1-2030-01-01"), ("openai", "gpt-5.1")),
        (("openai", "ft:gpt-4o-2024-08-06:my-org::id"), ("openai", "ft:gpt-4o-2024-08-06")),
        (("zai", "zai-org/GLM-4.6"), ("zai", "glm-4.6")),
        (("fireworks", "accounts/fireworks/models/glm-5p3"), ("fireworks", "glm-5p3")),
        (("together", "zai-org/GLM-4.6"), ("together", "together/zai-org/glm-4.6")),
        (("groq", "groq/openai/gpt-oss-120b"), ("groq", "openai/gpt-oss-120b")),
    ] {
        assert!(known(provider, model) != "unknown", "{provider} {model}");
        assert_eq!(known(provider, model), known(same.0, same.1), "{provider} {model}");
    }
    for provider in ["llamacpp", "lmstudio", "ollama", "vllm"] {
        assert_eq!(known(provider, "whatever:8b"), "0 0 0 0", "{provider}");
    }
    assert_eq!(known("openrouter", "meta-llama/llama-3.1-70b:free"), "0 0 0 0");
}

#[test]
fn nothing_is_guessed() {
    for (provider, model) in [
        ("openai", "gpt-5.1-nano-that-never-was"),
        ("openai", "gpt-5-"),
        ("anthropic", "claude-sonnet-4-6-fast"),
        ("anthropic", "claude-sonnet-4-6-2026021"),
        ("anthropic", "claude-sonnet-4-6-0217"),
        ("anthropic", "claude-sonnet"),
        ("anthropic", "claude"),
        // A fine-tuned model costs more than what it was tuned from.
        ("openai", "ft:gpt-5.1:my-org::id"),
        // Others may ask more for the same model, or serve it otherwise.
        ("my-gateway", "claude-sonnet-4-6"),
        ("openai", "claude-sonnet-4-6"),
        ("openrouter", "claude-sonnet-4-6"),
        ("openrouter", "anthropic/claude-sonnet-4.6:thinking"),
        ("openrouter", "openai/gpt-oss-120b"),
        ("openrouter", "meta-llama/llama-3.1-70b"),
        ("openrouter", "google/gemma-4-31b-it"),
        ("nim", "nvidia/nemotron"),
        ("", ""),
        ("", "*"),
        ("openai", ""),
        ("openai", "*"),
        ("openai", ",,1,1"),
        ("zzz", "zzz"),
        ("openai", "\u{e9}-20250929"),
        ("openai", "-20250929"),
        ("openai", "ft:"),
    ] {
        assert_eq!(shown(Prices::default().of(provider, model)), "unknown", "{provider} {model}");
    }
    let longest = "x".repeat(MODEL_BYTES_MAX);
    assert_eq!(Prices::default().of("ollama", &longest).map(|price| price.rates), Some(Rates::default()));
    assert_eq!(Prices::default().of("ollama", &format!("{longest}x")), None);
}

/// Worked out by hand: dollars for a million tokens are micro-dollars a token, and 1000 of these nano-dollars.
#[test]
fn costs() {
    let table = own("provider,model,above,input,output,cache_read,cache_write,cache_write_1h,reasoning\n\
         anthropic,claude,,3,15,0.3,3.75,6,\n\
         openai,gpt,,1.25,10,0.125,,,\n\
         zai,glm,,0.6,2.2,0.11,,,4.4\n\
         gemini,pro,,1.25,10,0.125,,,\n\
         gemini,pro,200000,2.5,15,0.25,,,\n\
         local,*,,0,0,,,,\n\
         small,*,,0.000001,0.0004,,,,\n\
         dear,*,,1000000,1000000,,,,\n");
    let usage = |counts: [u64; 6]| {
        let [input, cache_read, cache_write, cache_write_1h, output, reasoning] = counts.map(Some);
        Usage { input, cache_read, cache_write, cache_write_1h, output, reasoning }
    };
    #[rustfmt::skip]
    let rows = [
        // input, cache read, cache write, of it for an hour, output, of it reasoning
        // 1000*3 + 500*15 micro
        ("anthropic", "claude", [1_000, 0, 0, 0, 500, 0], 10_500_000),
        // 12*3 + 100,000*0.3 + 2000*3.75 + 300*15 = 36 + 30,000 + 7500 + 4500
        ("anthropic", "claude", [12, 100_000, 2_000, 0, 300, 0], 42_036_000),
        // 500 of the 2000 for an hour: 1500*3.75 + 500*6 = 5625 + 3000
        ("anthropic", "claude", [0, 0, 2_000, 500, 0, 0], 8_625_000),
        // More for an hour than was written at all cannot be.
        ("anthropic", "claude", [0, 0, 2_000, 9_000, 0, 0], 12_000_000),
        // 40*1.25 + 60*0.125 + 20*10, reasoning as output = 50 + 7.5 + 200
        ("openai", "gpt", [40, 60, 0, 0, 20, 5], 257_500),
        // A cache write without a price of its own costs as input: 7*1.25
        ("openai", "gpt", [0, 0, 7, 0, 0, 0], 8_750),
        // 100*0.6 + 60*2.2 + 40*4.4 = 60 + 132 + 176
        ("zai", "glm", [100, 0, 0, 0, 100, 40], 368_000),
        // More reasoning than output cannot be.
        ("zai", "glm", [0, 0, 0, 0, 10, 40], 44_000),
        // Up to the step 1.25 and 10, above it 2.5, 0.25 and 15, for all; what came out of the cache is input too.
        ("gemini", "pro", [200_000, 0, 0, 0, 1_000, 0], 260_000_000),
        ("gemini", "pro", [200_001, 0, 0, 0, 1_000, 0], 515_002_500),
        ("gemini", "pro", [1, 200_000, 0, 0, 0, 0], 50_002_500),
        ("local", "any", [1_000_000, 5, 5, 5, 1_000_000, 5], 0),
        // Rounded to the nearest nano-dollar: 499 and 500 thousandths.
        ("small", "any", [499, 0, 0, 0, 0, 0], 0),
        ("small", "any", [500, 0, 0, 0, 0, 0], 1),
        ("small", "any", [0, 0, 0, 0, 3, 0], 1),
        ("small", "any", [0, 0, 0, 0, 4, 0], 2),
        // Absurd counts are a large cost, not a small one.
        ("dear", "any", [u64::MAX; 6], u64::MAX),
        ("dear", "any", [1, 0, 0, 0, 0, 0], 1_000_000_000),
    ];
    for (provider, model, counts, nanos) in rows {
        let price = table.of(provider, model).unwrap();
        assert_eq!(price.cost(&usage(counts)), Some(nanos), "{provider} {counts:?}");
    }
    let price = table.of("anthropic", "claude").unwrap();
    assert_eq!(price.cost(&Usage::default()), None);
    assert_eq!(price.cost(&Usage { output: Some(0), ..Usage::default() }), Some(0));
    assert_eq!(price.cost(&Usage { input: Some(8), ..Usage::default() }), Some(24_000));
    assert_eq!(table.of("nobody", "claude"), None);
}

#[test]
fn dollars_as_written() {
    for (nanos, want) in [
        (0, "0.000000"),
        (1, "0.000000001"),
        (1_000, "0.000001"),
        (1_500, "0.0000015"),
        (1_234_000, "0.001234"),
        (1_234_560, "0.00123456"),
        (999_999_999, "0.999999999"),
        (1_000_000_000, "1.000000"),
        (12_500_000_000, "12.500000"),
        (u64::MAX, "18446744073.709551615"),
    ] {
        let mut out = Vec::new();
        write_dollars(nanos, &mut out);
        assert_eq!(str::from_utf8(&out).unwrap(), want);
    }
}

#[test]
fn what_a_typical_request_costs() {
    let table = own("provider,model,input,output,cache_read\na,*,3,15,0.3\nb,*,3,15,\nfree,*,0,0,0\n");
    let blended = |provider| table.of(provider, "m").unwrap().blended();
    // 4000*3 + 6000*0.3 + 1000*15 = 12,000 + 1800 + 15,000 micro; without a price for the cache 10,000*3 + 15,000.
    assert_eq!((blended("a"), blended("b"), blended("free")), (28_800_000, 45_000_000, 0));
}

#[test]
fn own_prices() {
    let table = own("\u{feff}# made on a Monday\r\n\r\n model , input,output,provider,context\r\n\
         claude-sonnet-4-6,1,2,anthropic,1000\r\n\
         *-Large*,5,6,my-*,\r\n\
         *,7.5,8,my-box\r\n\
         # the rest\n\
         gpt-4o,9,9,*\n");
    for (provider, model, want) in [
        ("anthropic", "claude-sonnet-4-6", "1 1 1 2"),
        // It holds for what the built-in price of this name would hold for.
        ("anthropic", "claude-sonnet-4-6-20260217", "1 1 1 2"),
        ("my-box", "qwen-LARGE-2", "5 5 5 6"),
        ("my-box", "qwen", "7.5 7.5 7.5 8"),
        ("my-other", "qwen", "unknown"),
        ("openai", "gpt-4o", "9 9 9 9"),
        ("openai", "gpt-4o-2030-01-01", "9 9 9 9"),
        ("my-other", "gpt-4o", "9 9 9 9"),
        ("my-other", "gpt-4o-mini", "unknown"),
    ] {
        assert_eq!(shown(table.of(provider, model)), want, "{provider} {model}");
    }
    assert_eq!(table.of("anthropic", "claude-sonnet-4-6").unwrap().context, Some(1_000));
    assert_eq!(own("provider,model,input,output\n"), Prices::default());
    // The built-in table is in the form of a user's.
    let same = |model: &str| assert_eq!(own(TABLE).of("gemini", model), Prices::default().of("gemini", model));
    ["gemini-2.5-pro", "gemini-2.5-flash", "unknown"].into_iter().for_each(same);
}

#[test]
fn what_is_wrong_is_told_by_line() {
    const HEAD: &str = "provider,model,input,output";
    #[rustfmt::skip]
    let table = [
        ("", "names a file without a line; the first line must name the columns, as in provider,model,input,output"),
        ("# only this\n", "names a file without a line"),
        ("canary,canary,1,2\n", "line 1 names a column that there is not; the first line must name the columns, as in provider,model,input,output, of provider, model, above, "),
        ("provider,model,input\n", "line 1 does not name the column output; "),
        ("model,input,output\n", "line 1 does not name the column provider; "),
        ("provider,model,input,input,output\n", "line 1 names the column input twice; "),
        ("provider,model,input,output\na,b,canary,1\n", "line 2 has a value of input that is no price; write US dollars for a million tokens, with at most six decimals, as in 2.5"),
        ("provider,model,input,output\n\na,b,1,-1\n", "line 3 has a value of output that is no price"),
        ("provider,model,input,output\na,b,1,1.0000001\n", "line 2 has a value of output that is no price"),
        ("provider,model,input,output\na,b,$1,1\n", "line 2 has a value of input that is no price"),
        ("provider,model,input,output\na,b,1.,1\n", "line 2 has a value of input that is no price"),
        ("provider,model,input,output\na,b,1000000.1,1\n", "line 2 has a value of input that is no price"),
        ("provider,model,input,output\na,b,99999999999999999999,1\n", "line 2 has a value of input that is no price"),
        ("provider,model,input,output\na,b,1\n", "line 2 has a value of output that is empty; write US dollars for a million tokens, as in 2.5, or 0"),
        ("provider,model,input,output\na,,1,1\n", "line 2 has a value of model that is empty; write a name"),
        ("provider,model,input,output\na,b,1,1,1\n", "line 2 has more values than the first line has columns; "),
        ("provider,model,input,output,context\na,b,1,1,128k\n", "line 2 has a value of context that is no number of tokens; write one as in 200000"),
        ("provider,model,input,output,above\na,b,1,1,5\n", "line 2 has a value of above; it belongs right behind "),
        ("provider,model,input,output,above\na,b,1,1,\na,c,1,1,5\n", "line 3 has a value of above; it belongs right behind "),
        ("provider,model,input,output,above\na,b,1,1,\na,b,2,2,5\na,b,3,3,9\n", "line 4 is the second with a value of above for its model; "),
    ];
    for (text, part) in table {
        let wrong = Prices::parse(text).expect_err(text);
        assert!(wrong.len() == 1 && wrong[0].starts_with(part), "{text}: {wrong:?}");
        assert!(!wrong[0].contains("canary"), "{wrong:?}");
    }
    let both = Prices::parse(&format!("{HEAD}\na,b,x,1\na,b,1,1\na,b,1,y\n")).unwrap_err();
    assert!(both.len() == 2 && both[0].contains("line 2 ") && both[1].contains("line 4 "), "{both:?}");
    let most = format!("{HEAD}\n{}", "a,b,1,1\n".repeat(crate::limits::OWN_PRICES_MAX));
    assert!(Prices::parse(&most).is_ok());
    assert!(Prices::parse(&format!("{most}a,b,1,1\n")).unwrap_err()[0].contains("more than 10000 prices"));
}
