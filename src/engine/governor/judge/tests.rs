//! One sample a second, and what the judge makes of it.

use rstest::rstest;

use super::super::latency::tests::histogram;
use super::*;

/// Judges samples second by second.
struct Court {
    judge: Judge,
    now: Instant,
}

impl Court {
    fn new() -> Self {
        Self { judge: Judge::new(Holds::default()), now: Instant::now() }
    }

    fn hear(&mut self, sample: &Sample) -> Verdict {
        self.now += Duration::from_secs(1);
        self.judge.judge(sample, self.now)
    }
}

fn lag(millis: u64) -> Sample {
    Sample { lag: Some(("db-2:27017".to_owned(), Duration::from_millis(millis))), ..Sample::default() }
}

fn flow(rate: f64) -> Sample {
    Sample { flow: Some(Flow { lagged: true, rate }), ..Sample::default() }
}

fn tickets(free: f64) -> Sample {
    Sample { tickets: Some(Tickets { free, total: 128.0 }), ..Sample::default() }
}

fn dirty(part: f64) -> Sample {
    Sample { dirty: Some(part), ..Sample::default() }
}

fn oplog(minutes: u64) -> Sample {
    Sample { oplog: Some(Duration::from_mins(minutes)), ..Sample::default() }
}

#[rstest]
#[case(lag(4_200), HoldKind::ReplicationLag, "replication lag 4.2 s > 2 s (db-2:27017)")]
#[case(flow(100.0), HoldKind::FlowControl, "flow control lets 100 writes per second through, for a majority is behind")]
#[case(tickets(0.0), HoldKind::WriteTickets, "0 of 128 write tickets are free")]
#[case(dirty(0.22), HoldKind::DirtyCache, "22 % of the cache is dirty > 20 %")]
#[case(oplog(25), HoldKind::OplogWindow, "oplog window 25 min < 30 min")]
fn it_holds_and_names_the_reason(#[case] sample: Sample, #[case] kind: HoldKind, #[case] reason: &str) {
    let mut court = Court::new();
    court.hear(&sample);
    assert_eq!(court.hear(&sample).hold, Some(kind.because(reason)));
    assert_eq!(court.hear(&Sample::default()).hold, None);
}

#[rstest]
#[case(flow(20_000.0), "flow control is at work, for a majority is behind")]
#[case(tickets(11.0), "11 of 128 write tickets are free")]
#[case(dirty(0.16), "16 % of the cache is dirty > 15 %")]
#[case(oplog(50), "oplog window 50 min < 1 h")]
fn it_slows_down_and_names_the_reason(#[case] sample: Sample, #[case] reason: &str) {
    let verdict = Court::new().hear(&sample);
    assert_eq!((verdict.hold, verdict.slow.as_deref()), (None, Some(reason)));
    assert!(verdict.factor < 0.7 && verdict.scale < 0.7);
}

#[rstest]
#[case(lag(1_900))]
#[case(Sample { flow: Some(Flow { lagged: false, rate: 100.0 }), ..Sample::default() })]
#[case(tickets(100.0))]
#[case(dirty(0.10))]
#[case(oplog(61))]
#[case(Sample::default())]
fn a_server_that_is_well_is_let_be(#[case] sample: Sample) {
    let mut court = Court::new();
    for _ in 0..5 {
        assert_eq!(court.hear(&sample), Verdict::FREE);
    }
}

#[test]
fn with_nothing_to_look_at_it_never_minds() {
    let mut judge = Judge::new(Holds::NONE);
    for sample in [lag(60_000), lag(60_000), flow(1.0), tickets(0.0), dirty(0.9), oplog(1)] {
        assert_eq!(judge.judge(&sample, Instant::now()), Verdict::FREE);
    }
}

#[test]
fn a_hold_ends_only_when_it_is_clearly_better() {
    let mut court = Court::new();
    let held: Vec<bool> = [2_500, 2_500, 2_100, 1_700, 1_500, 1_900, 2_100, 2_100]
        .map(|lag_of| court.hear(&lag(lag_of)).hold.is_some())
        .to_vec();
    assert_eq!(held, [false, true, true, true, false, false, false, true]);
}

#[test]
fn a_secondary_that_looks_late_once_is_not() {
    let mut court = Court::new();
    assert_eq!(court.hear(&lag(9_000)), Verdict::FREE);
    assert_eq!(court.hear(&lag(0)), Verdict::FREE);
}

#[test]
fn after_a_hold_it_goes_more_slowly_and_then_recovers() {
    let mut court = Court::new();
    for _ in 0..30 {
        court.hear(&lag(5_000));
    }
    let after = court.hear(&lag(0));
    assert!((0.55..0.7).contains(&after.factor), "once for the whole hold: {after:?}");
    assert!(after.slow.is_some());
    for _ in 0..20 {
        court.hear(&lag(0));
    }
    assert_eq!(court.hear(&lag(0)), Verdict::FREE);
}

#[test]
fn however_bad_it_is_a_slow_run_gets_somewhere() {
    let mut court = Court::new();
    for _ in 0..100 {
        court.hear(&dirty(0.17));
    }
    let verdict = court.hear(&dirty(0.17));
    assert_eq!((verdict.hold, verdict.factor, verdict.scale), (None, 0.1, 0.1));
}

#[test]
fn a_hold_that_does_not_widen_the_oplog_is_in_vain() {
    let mut court = Court::new();
    let held = (0..300).filter(|_| court.hear(&oplog(20)).hold.is_some()).count();
    assert_eq!(held, 120);
    assert!(court.hear(&oplog(20)).slow.is_some());
}

#[test]
fn a_hold_that_widens_the_oplog_goes_on_until_it_has() {
    let mut court = Court::new();
    let held = (0..60).filter(|minute| {
        court.now += Duration::from_secs(59);
        court.hear(&oplog(20 + minute)).hold.is_some()
    });
    // To 80 % of the limit's reciprocal: 37.5 minutes.
    assert_eq!(held.count(), 18);
}

#[test]
fn a_foreground_is_measured_and_then_spared() {
    let mut court = Court::new();
    let seen = |tail| Sample { foreground: Some(histogram(&[(1_024, 180), (tail, 20)])), ..Sample::default() };
    let measuring = court.hear(&seen(8_192));
    assert_eq!(measuring.hold, Some(HoldKind::Measuring.because("measuring the foreground latency without this run")));
    assert!(court.judge.is_measuring());
    while court.judge.is_measuring() {
        court.hear(&seen(8_192));
    }
    assert_eq!(court.hear(&seen(8_192)), Verdict::FREE);
    let slowed = court.hear(&seen(65_536));
    assert!(slowed.slow.as_deref().is_some_and(|why| why.starts_with("foreground latency ")), "{slowed:?}");
    assert!(slowed.factor < 0.7 && slowed.hold.is_none());
}
