//! In which order the candidates of a request are tried. Pure: what is known of them, and chance, are arguments.

use super::stats::Seen;

/// How candidates are put in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// As the rule names them.
    #[default]
    Order,
    /// By chance, each as often as its weight says.
    Weight,
    /// The quicker of two that chance picks, by the time to the first token.
    Latency,
    /// The cheapest first.
    Cost,
    /// By latency, success and recency together.
    Score,
}

impl Strategy {
    /// All, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Order, Self::Weight, Self::Latency, Self::Cost, Self::Score];

    /// As in `SIDESTREAM_STRATEGY` and `strategy=`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Weight => "weight",
            Self::Latency => "latency",
            Self::Cost => "cost",
            Self::Score => "score",
        }
    }
}

/// What is known of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Runner {
    /// A hash of provider and model.
    pub hash: u64,
    /// The rule's.
    pub weight: u32,
    /// What it costs, where that is known.
    pub price: Option<u64>,
    /// How it did lately.
    pub seen: Seen,
    /// The session was here last.
    pub is_home: bool,
}

/// Sorts the places of `runners` into `order`, the first to try in front. `session` is the conversation's hash, if it shall
/// stay where it is; `random` any number.
pub fn arrange(strategy: Strategy, runners: &[Runner], session: Option<u64>, random: u64, order: &mut Vec<usize>) {
    order.clear();
    order.extend(0..runners.len());
    let of = |place: &usize| runners.get(*place).copied().unwrap_or_default();
    match strategy {
        Strategy::Order => return,
        // Rendezvous hashing with weights (Schindelhauer and Schomaker 2005): a session always gets the same order, and
        // a candidate more or less moves only the sessions that are its own.
        Strategy::Weight => sort(order, |place| lot(&of(place), session.unwrap_or(random))),
        Strategy::Cost => sort(order, |place| of(place).price.map_or(f64::INFINITY, |price| price as f64)),
        Strategy::Latency => {
            sort(order, |place| first_token(&of(place)));
            two_choices(order, random);
        }
        Strategy::Score => {
            let best = runners.iter().map(first_token).filter(|time| *time > 0.0).fold(f64::INFINITY, f64::min);
            sort(order, |place| -score(&of(place), best));
        }
    }
    if session.is_some()
        && let Some(home) = order.iter().position(|place| of(place).is_home)
        && let Some(first) = order.get_mut(..=home)
    {
        first.rotate_right(1);
    }
}

/// Of candidates sorted by their time: the better of two picked by chance goes to the front. Always the best one would be
/// what everybody does at once, and what was slow once would never be looked at again (Mitzenmacher 2001).
fn two_choices(order: &mut [usize], random: u64) {
    let count = order.len() as u64;
    if count < 2 {
        return;
    }
    let one = random % count;
    let other = (one + 1 + random / count % (count - 1)) % count;
    let better = one.min(other) as usize;
    if let Some(front) = order.get_mut(..=better) {
        front.rotate_right(1);
    }
}

/// Smaller for a candidate that is to be tried earlier: −ln(u) ÷ weight, with u between 0 and 1 by chance.
fn lot(runner: &Runner, chance: u64) -> f64 {
    let mixed = mix(runner.hash ^ mix(chance));
    let unit = ((mixed >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
    -unit.ln() / f64::from(runner.weight.max(1))
}

/// One that is not known is tried first: only so it becomes known.
fn first_token(runner: &Runner) -> f64 {
    runner.seen.first_token_ms.map_or(0.0, f64::from)
}

/// Seed 004's weights: 0.4 latency, 0.5 success, 0.1 recency; `best` is the shortest time to the first token.
fn score(runner: &Runner, best: f64) -> f64 {
    const RECENT_MS: f64 = 60_000.0;
    let latency = match first_token(runner) {
        // Not known, and before its equals: only so it becomes known.
        0.0 => 1.01,
        time => (best / time).min(1.0),
    };
    let recency = runner.seen.idle_ms.map_or(1.0, |idle| 1.0 - (idle as f64 / RECENT_MS).min(1.0));
    0.4 * latency + 0.5 * f64::from(runner.seen.success) + 0.1 * recency
}

fn sort(order: &mut [usize], key: impl Fn(&usize) -> f64) {
    // Stable: among equals the rule's order holds.
    order.sort_by(|one, other| key(one).total_cmp(&key(other)));
}

/// The hash of a candidate: what is known of it is kept under this number.
pub fn candidate(provider: usize, model: &str) -> u64 {
    // FNV-1a (Fowler, Noll, Vo), mixed: its upper bits are poor by themselves.
    let start = 0xCBF2_9CE4_8422_2325 ^ provider as u64;
    mix(model.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)))
}

/// The finaliser of SplitMix64 (Steele, Lea and Flood 2014).
pub fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner(hash: u64, weight: u32) -> Runner {
        Runner { hash, weight, ..Runner::default() }
    }

    fn seen(hash: u64, first_token_ms: Option<f32>, success: f32, idle_ms: u64) -> Runner {
        let idle_ms = first_token_ms.map(|_| idle_ms);
        Runner { seen: Seen { first_token_ms, p95_ms: None, success, idle_ms }, ..runner(hash, 1) }
    }

    fn order(strategy: Strategy, runners: &[Runner], session: Option<u64>, random: u64) -> Vec<usize> {
        let mut order = Vec::new();
        arrange(strategy, runners, session, random, &mut order);
        order
    }

    #[test]
    fn the_rules_order_is_left_alone() {
        let mut runners = [seen(1, Some(900.0), 0.1, 9), seen(2, Some(1.0), 1.0, 0)];
        runners[1].is_home = true;
        assert_eq!(order(Strategy::Order, &runners, Some(5), 7), [0, 1]);
    }

    #[test]
    fn weights_are_kept_over_many_and_a_session_stays() {
        let runners = [runner(11, 1), runner(22, 2), runner(33, 7)];
        for sessions in [false, true] {
            let mut firsts = [0_u32; 3];
            for number in 0..20_000_u64 {
                let chance = mix(number);
                let session = sessions.then_some(chance);
                firsts[order(Strategy::Weight, &runners, session, chance)[0]] += 1;
            }
            for (first, want) in firsts.into_iter().zip([2_000, 4_000, 14_000]) {
                assert!(first.abs_diff(want) < want / 10, "{firsts:?}");
            }
        }
        let first = order(Strategy::Weight, &runners, Some(99), 1);
        assert!((0..50).all(|random| order(Strategy::Weight, &runners, Some(99), random) == first));
        // Without the one a session was at, the others keep their order.
        let without: Vec<_> =
            runners.iter().enumerate().filter(|(place, _)| *place != first[0]).map(|(_, one)| *one).collect();
        let rest: Vec<_> =
            order(Strategy::Weight, &without, Some(99), 1).iter().map(|place| without[*place].hash).collect();
        assert_eq!(rest, first[1..].iter().map(|place| runners[*place].hash).collect::<Vec<_>>());
    }

    #[test]
    fn the_cheapest_first_and_the_unknown_last() {
        let priced = |price| Runner { price, ..runner(1, 1) };
        let runners = [priced(None), priced(Some(30)), priced(Some(10)), priced(Some(30)), priced(Some(0))];
        assert_eq!(order(Strategy::Cost, &runners, None, 3), [4, 2, 1, 3, 0]);
    }

    #[test]
    fn the_quicker_of_two() {
        let runners = [seen(1, Some(300.0), 1.0, 0), seen(2, Some(100.0), 1.0, 0), seen(3, Some(200.0), 1.0, 0)];
        let mut firsts = [0_u32; 3];
        for number in 0..6_000 {
            let order = order(Strategy::Latency, &runners, None, mix(number));
            firsts[order[0]] += 1;
            assert_eq!(order.len(), 3);
        }
        // The quickest is in two pairs of three, the slowest in none alone.
        assert!(firsts[0] == 0 && firsts[1].abs_diff(4_000) < 300 && firsts[2].abs_diff(2_000) < 300, "{firsts:?}");
        let unknown = [seen(1, Some(5.0), 1.0, 0), seen(2, None, 1.0, 0)];
        assert!((0..20).all(|random| order(Strategy::Latency, &unknown, None, random)[0] == 1));
        assert_eq!(order(Strategy::Latency, &unknown[..1], None, 5), [0]);
    }

    #[test]
    fn the_score_weighs_latency_success_and_recency() {
        for (runners, want) in [
            ([seen(1, Some(100.0), 1.0, 0), seen(2, Some(200.0), 1.0, 0)], [0, 1]),
            ([seen(1, Some(100.0), 0.5, 0), seen(2, Some(120.0), 1.0, 0)], [1, 0]),
            ([seen(1, Some(100.0), 1.0, 60_000), seen(2, Some(100.0), 1.0, 0)], [1, 0]),
            ([seen(1, Some(100.0), 0.9, 0), seen(2, None, 1.0, 0)], [1, 0]),
            ([seen(1, Some(100.0), 1.0, 0), seen(2, None, 1.0, 0)], [1, 0]),
            ([seen(1, Some(100.0), 1.0, 0), seen(2, None, 0.9, 0)], [0, 1]),
        ] {
            assert_eq!(order(Strategy::Score, &runners, None, 0), want, "{runners:?}");
        }
    }

    #[test]
    fn a_session_stays_at_home() {
        for strategy in [Strategy::Latency, Strategy::Score] {
            let mut runners =
                [seen(1, Some(100.0), 1.0, 0), seen(2, Some(150.0), 1.0, 0), seen(3, Some(900.0), 0.5, 0)];
            runners[2].is_home = true;
            assert_eq!(order(strategy, &runners, Some(1), 0)[0], 2, "{strategy:?}");
            assert_ne!(order(strategy, &runners, None, 0)[0], 2, "{strategy:?}");
        }
    }
}
