//! Courses in virtual time: each table row is a story.

use proptest::prelude::*;

use super::*;
use Retry::{Again, Elsewhere, Later, Never, OtherKey};

/// `random` such that a pause is its upper end.
const LONGEST: u64 = (PAUSE_MIN_MS + 1) * (2 * PAUSE_MIN_MS + 1) * (4 * PAUSE_MIN_MS + 1) - 1;

/// Tells a course with one failure after the other, all candidates fair: the places tried and when, from time 1000.
fn told(
    candidates: &[(usize, u32)],
    tries: u32,
    until: Option<u64>,
    failures: &[(Retry, Option<u64>)],
) -> Vec<(usize, u64)> {
    let mut course = Course::default();
    course.begin(candidates.iter().copied(), tries, until);
    let (mut now, mut went) = (1_000, Vec::new());
    for (retry, rest) in failures {
        let Step::Go { place, at, .. } = course.next(now, |_| Outlook::Fair) else { return went };
        now = at;
        went.push((place, at - 1_000));
        course.began(place);
        course.failed(place, *retry, *rest, false, now, LONGEST);
    }
    if course.next(now, |_| Outlook::Fair) != (Step::Over { limited_until: None }) {
        went.push((usize::MAX, 0));
    }
    went
}

#[test]
fn stories() {
    let one: &[(usize, u32)] = &[(0, 2)];
    let two: &[(usize, u32)] = &[(0, 2), (1, 2)];
    for (name, candidates, tries, until, failures, want) in [
        ("a client's mistake", two, 4, None, vec![(Never, None)], vec![(0, 0)]),
        ("a short trouble stays", two, 4, None, vec![(Again, None); 4], vec![(0, 0), (0, 500), (0, 1_500), (1, 1_500)]),
        ("an overload goes on at once", two, 4, None, vec![(Later, None); 4], vec![(0, 0), (1, 0), (0, 500), (1, 500)]),
        (
            "a trouble that is not as short as it looks does not stay",
            two,
            4,
            None,
            vec![(Again, Some(PAUSE_MIN_MS + 1)); 4],
            vec![(0, 0), (1, 0), (0, 501), (1, 501)],
        ),
        (
            "one that is as short as it says does",
            two,
            4,
            None,
            vec![(Again, Some(PAUSE_MIN_MS)); 4],
            vec![(0, 0), (0, 500), (0, 1_000), (1, 1_000)],
        ),
        (
            "and a pause of nothing does not keep it there",
            two,
            4,
            None,
            vec![(Later, Some(0)); 4],
            vec![(0, 0), (1, 0), (0, 0), (1, 0)],
        ),
        ("alone it is waited for", one, 4, None, vec![(Later, None); 3], vec![(0, 0), (0, 500), (0, 1_500)]),
        ("retry-after is obeyed", one, 4, None, vec![(Later, Some(7_000)); 3], vec![(0, 0), (0, 7_000), (0, 14_000)]),
        ("too long a rest is not waited for", one, 4, None, vec![(Later, Some(WAIT_MAX_MS + 1)); 1], vec![(0, 0)]),
        ("nor one beyond the deadline", one, 4, Some(6_000), vec![(Later, Some(5_001)); 1], vec![(0, 0)]),
        ("one within it is", one, 4, Some(6_000), vec![(Later, Some(5_000)); 2], vec![(0, 0), (0, 5_000)]),
        ("a bad key has no second try here", two, 4, None, vec![(OtherKey, None); 2], vec![(0, 0), (1, 0)]),
        ("nor has a missing model", two, 4, None, vec![(Elsewhere, None); 2], vec![(0, 0), (1, 0)]),
        ("the bound over all", two, 2, None, vec![(Later, None); 2], vec![(0, 0), (1, 0)]),
        ("one try", two, 1, None, vec![(Later, None); 1], vec![(0, 0)]),
        ("no extra tries", &[(0, 0), (1, 0)], 4, None, vec![(Again, None); 2], vec![(0, 0), (1, 0)]),
        (
            "two models of a provider share them",
            &[(0, 1), (0, 1)],
            9,
            None,
            vec![(Later, None); 2],
            vec![(0, 0), (1, 0)],
        ),
    ] {
        assert_eq!(told(candidates, tries, until, &failures), want, "{name}");
    }
}

#[test]
fn another_key_is_tried_at_once() {
    for retry in [OtherKey, Later] {
        let mut course = Course::default();
        course.begin([(0, 2), (1, 2)].into_iter(), 4, None);
        course.began(0);
        course.failed(0, retry, Some(30_000), true, 5, 0);
        assert_eq!(course.next(5, |_| Outlook::Fair), Step::Go { place: 0, at: 5, again: true }, "{retry:?}");
    }
}

#[test]
fn what_health_says() {
    use Outlook::{Bad, Cooling, Fair, Limited};
    let go = |place, at| Step::Go { place, at, again: false };
    let over = |limited_until| Step::Over { limited_until };
    for (outlooks, want) in [
        ([Fair, Fair], go(0, 100)),
        ([Bad, Fair], go(1, 100)),
        ([Bad, Bad], go(0, 100)),
        ([Cooling(5_000), Fair], go(1, 100)),
        ([Cooling(5_000), Bad], go(0, 5_000)),
        ([Cooling(9_000), Cooling(8_000)], go(1, 8_000)),
        ([Cooling(PAUSE_MAX_MS + 100), Bad], go(0, PAUSE_MAX_MS + 100)),
        ([Cooling(PAUSE_MAX_MS + 101), Bad], go(1, 100)),
        ([Limited(PAUSE_MAX_MS + 101), Bad], go(1, 100)),
        ([Cooling(PAUSE_MAX_MS + 101), Cooling(100_000)], go(0, PAUSE_MAX_MS + 101)),
        ([Cooling(100_000), Bad], go(0, 100)),
        ([Limited(5_000), Bad], go(0, 5_000)),
        ([Limited(100_000), Bad], go(1, 100)),
        ([Limited(100_000), Limited(90_000)], over(Some(90_000))),
        ([Limited(50), Bad], go(0, 100)),
    ] {
        let mut course = Course::default();
        course.begin([(0, 2), (1, 2)].into_iter(), 4, None);
        assert_eq!(course.next(100, |place| outlooks[place]), want, "{outlooks:?}");
    }
}

#[test]
fn a_bad_one_that_was_asked_anyway_is_not_asked_again() {
    let mut course = Course::default();
    course.begin([(0, 2)].into_iter(), 4, None);
    course.began(0);
    course.failed(0, Again, None, false, 0, 0);
    assert_eq!(course.next(0, |_| Outlook::Bad), Step::Over { limited_until: None });
}

#[test]
fn where_a_breaker_opened_meanwhile_the_course_goes_on() {
    let mut course = Course::default();
    course.begin([(0, 2), (1, 2)].into_iter(), 4, None);
    course.began(0);
    course.failed(0, Again, None, false, 0, 0);
    let outlook = |place| if place == 0 { Outlook::Bad } else { Outlook::Fair };
    assert_eq!(course.next(0, outlook), Step::Go { place: 1, at: 0, again: false });
}

#[test]
fn whether_anything_can_follow() {
    for (candidates, tries, began, want) in [
        (&[(0, 2)][..], 4, 1, true),
        (&[(0, 0)], 4, 1, false),
        (&[(0, 2)], 1, 1, false),
        (&[(0, 0), (1, 0)], 2, 1, true),
        (&[(0, 2)], 4, 3, false),
    ] {
        let mut course = Course::default();
        course.begin(candidates.iter().copied(), tries, None);
        (0..began).for_each(|_| course.began(0));
        assert_eq!(course.may_go_on(), want, "{candidates:?} {tries} {began}");
    }
}

#[test]
fn who_is_tried_beside_another() {
    for (candidates, fair, want) in [
        (&[(0, 2), (1, 2), (2, 2)][..], &[0, 1, 2][..], Some((1, false))),
        (&[(0, 2), (1, 2), (2, 2)], &[0, 2], Some((2, false))),
        // Another model of the same provider is a try more for it, and paid for.
        (&[(0, 2), (0, 2)], &[0, 1], Some((1, true))),
        (&[(0, 2), (1, 2)], &[0], None),
        (&[(0, 2)], &[0], None),
    ] {
        let mut course = Course::default();
        course.begin(candidates.iter().copied(), 4, None);
        course.began(0);
        assert_eq!(course.beside(0, |place| fair.contains(&place)), want, "{candidates:?} {fair:?}");
    }
    let mut course = Course::default();
    course.begin([(0, 2), (1, 2)].into_iter(), 1, None);
    course.began(0);
    assert_eq!(course.beside(0, |_| true), None, "no try is left");
}

#[test]
fn a_pause_is_anything_up_to_its_end() {
    for (tried, end) in [(1, 500), (2, 1_000), (5, 8_000), (60, 8_000)] {
        let pauses: Vec<_> = (0..20_000).map(|random| pause(tried, random * 7_919)).collect();
        assert!(pauses.iter().all(|pause| *pause <= end), "{tried}");
        let mean = pauses.iter().sum::<u64>() / 20_000;
        assert!(mean.abs_diff(end / 2) <= end / 50, "{tried}: {mean}");
    }
}

proptest! {
    /// Whatever happens: no more tries than allowed in all and at each provider, never one after the deadline, and always
    /// an end.
    #[test]
    fn bounds_hold(
        candidates in prop::collection::vec((0_usize..3, 0_u32..4), 1..6),
        tries in 1_u32..8,
        until in prop::option::of(0_u64..200_000),
        events in prop::collection::vec((0_usize..5, prop::option::of(0_u64..90_000), any::<bool>(), any::<u64>(), 0_u8..4), 40),
    ) {
        let mut course = Course::default();
        course.begin(candidates.iter().copied(), tries, until);
        let (mut now, mut went) = (0, Vec::new());
        for (retry, rest, other_key, random, look) in events {
            let outlook = |place: usize| match (look as usize + place) % 4 {
                0 => Outlook::Bad,
                1 => Outlook::Cooling(now + 3_000),
                2 => Outlook::Limited(now + 70_000 * (random % 2)),
                _ => Outlook::Fair,
            };
            let Step::Go { place, at, again } = course.next(now, outlook) else { break };
            prop_assert!(until.is_none_or(|until| at <= until));
            prop_assert!(at >= now && at - now <= WAIT_MAX_MS);
            let provider = candidates[place].0;
            prop_assert_eq!(again, went.iter().any(|place: &usize| candidates[*place].0 == provider));
            now = at;
            course.began(place);
            went.push(place);
            let retry = [Never, Elsewhere, OtherKey, Again, Later][retry];
            course.failed(place, retry, rest, other_key, now, random);
            if retry == Never {
                prop_assert_eq!(course.next(now, |_| Outlook::Fair), Step::Over { limited_until: None });
            }
        }
        prop_assert!(went.len() <= tries as usize);
        for provider in 0..3 {
            let of_provider: Vec<_> = went.iter().filter(|place| candidates[**place].0 == provider).collect();
            let models = candidates.iter().filter(|one| one.0 == provider).count();
            let extra = candidates.iter().find(|one| one.0 == provider).map_or(0, |one| one.1 as usize);
            prop_assert!(of_provider.len() <= models + extra);
        }
    }
}
