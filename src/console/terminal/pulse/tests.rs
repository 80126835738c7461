use proptest::prelude::*;

use super::*;

/// One step of the simulated world, in milliseconds.
const STEP: u64 = 10;

/// A terminal behind a link, and a console that asks it. Times are in milliseconds.
struct World {
    pulse: Pulse,
    now: u64,
    /// Bytes a second that the link carries.
    rate: u64,
    /// From a question that is shown to its answer.
    delay: u64,
    /// Bytes that are taken before they are shown: what `kubectl exec` has between. Without any, nothing would ever be carried.
    buffer: u64,
    /// When the terminal vanishes, silently.
    dies: u64,
    sent: u64,
    shown: u64,
    /// Thousandths of a byte that the link has carried already.
    carried: u64,
    /// Where questions end, in bytes, and when answers arrive.
    questions: VecDeque<u64>,
    answers: VecDeque<u64>,
    asked: usize,
}

impl World {
    fn new(rate: u64, delay: u64, buffer: u64) -> Self {
        Self {
            pulse: Pulse::default(),
            now: 0,
            rate,
            delay,
            buffer,
            dies: u64::MAX,
            sent: 0,
            shown: 0,
            carried: 0,
            questions: VecDeque::new(),
            answers: VecDeque::new(),
            asked: 0,
        }
    }

    fn quick() -> Self {
        Self::new(1_000_000, 30, 85_000)
    }

    fn time(&self) -> Duration {
        Duration::from_millis(self.now)
    }

    fn written(&self) -> u64 {
        self.sent.min(self.shown + self.buffer)
    }

    fn send(&mut self, length: usize, questions: &[usize]) {
        self.questions.extend(questions.iter().map(|end| self.sent + *end as u64));
        self.asked += questions.len();
        self.pulse.handed_over(length, questions, self.time());
        self.sent += length as u64;
    }

    /// Draws a frame of a size if the console may now.
    fn draw(&mut self, size: usize) {
        if self.written() < self.sent || self.pulse.is_behind(self.time()) {
            return;
        }
        let frame = b"\x1b[3;4Hsome words of it".iter().copied().cycle().take(size).collect();
        let (frame, questions) = self.pulse.with_questions(frame);
        self.send(frame.len(), &questions);
    }

    fn key(&mut self) {
        if self.now < self.dies {
            self.pulse.heard(self.time());
        }
    }

    /// Lets the world go on without the console.
    fn outside(&mut self) {
        self.now += STEP;
        if self.now >= self.dies {
            return;
        }
        self.carried += self.rate * STEP;
        let most = self.written();
        self.shown = (self.shown + self.carried / 1000).min(most);
        self.carried %= 1000;
        while self.questions.front().is_some_and(|end| *end <= self.shown) {
            self.questions.pop_front();
            self.answers.push_back(self.now + self.delay);
        }
    }

    fn step(&mut self) -> Beat {
        self.outside();
        while self.now < self.dies && self.answers.front().is_some_and(|at| *at <= self.now) {
            self.answers.pop_front();
            self.pulse.heard(self.time());
            self.pulse.answered(self.time());
        }
        let beat = self.pulse.beat(self.time(), self.written());
        if beat == Beat::Ask {
            self.send(QUERY.len(), &[QUERY.len()]);
        }
        beat
    }

    /// Goes on for so long; the time at which it would have left.
    fn lives(&mut self, time: u64) -> Option<u64> {
        let end = self.now + time;
        while self.now < end {
            if let Beat::Leave(_) = self.step() {
                return Some(self.now);
            }
        }
        None
    }
}

/// What happens at a console.
#[derive(Clone, Debug)]
enum Happening {
    Key,
    Frame(usize),
    Pause(u64),
    /// Frames as fast as the console may.
    Flood(usize, u64),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let one = prop_oneof![
        Just(Happening::Key),
        (1_usize..20_000).prop_map(Happening::Frame),
        (10_u64..5_000).prop_map(Happening::Pause),
        (50_u64..90_000).prop_map(Happening::Pause),
        ((500_usize..20_000), (500_u64..10_000)).prop_map(|(size, time)| Happening::Flood(size, time)),
    ];
    proptest::collection::vec(one, 1..40)
}

impl World {
    /// When it left, if it did.
    fn goes_through(&mut self, happenings: &[Happening]) -> Option<u64> {
        happenings.iter().find_map(|happening| match happening {
            Happening::Key => {
                self.key();
                None
            }
            Happening::Frame(size) => {
                self.draw(*size);
                self.lives(40)
            }
            Happening::Pause(time) => self.lives(*time),
            Happening::Flood(size, time) => (0..time / 40).find_map(|_| {
                self.draw(*size);
                self.lives(40)
            }),
        })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_living_terminal_is_never_left_although_its_link_is_slow(
        rate in prop_oneof![8_000_u64..40_000, 40_000_u64..2_000_000],
        delay in 0_u64..1_000,
        buffer in 1_000_u64..200_000,
        happenings in happenings(),
    ) {
        let mut world = World::new(rate, delay, buffer);
        prop_assert_eq!(world.goes_through(&happenings), None);
    }

    #[test]
    fn a_terminal_whose_answers_come_within_the_least_patience_is_never_left(
        delays in proptest::collection::vec(0_u64..2_900, 1..200),
    ) {
        let mut world = World::quick();
        for delay in delays {
            world.delay = delay;
            prop_assert_eq!(world.lives(1_000), None);
        }
    }

    #[test]
    fn a_dead_terminal_on_a_quick_link_is_left_within_five_seconds(
        rate in 300_000_u64..5_000_000,
        delay in 0_u64..300,
        happenings in happenings(),
        after in happenings(),
    ) {
        let mut world = World::new(rate, delay, 85_000);
        world.lives(2_000);
        world.goes_through(&happenings);
        let died = world.now;
        world.dies = died;
        let left = world.goes_through(&after).or_else(|| world.lives(60_000)).expect("it leaves");
        prop_assert!(left <= died + 5_000, "{} ms after", left - died);
    }

    #[test]
    fn a_dead_terminal_on_any_link_is_left_within_the_longest_patience(
        rate in 4_000_u64..100_000,
        delay in 0_u64..5_000,
        buffer in 1_000_u64..200_000,
        happenings in happenings(),
        after in happenings(),
    ) {
        let mut world = World::new(rate, delay, buffer);
        while world.pulse.slowest.is_none() {
            world.step();
        }
        world.goes_through(&happenings);
        let died = world.now;
        world.dies = died;
        let left = world.goes_through(&after).or_else(|| world.lives(60_000)).expect("it leaves");
        prop_assert!(left <= died + 32_000, "{} ms after", left - died);
    }

    #[test]
    fn a_slow_link_never_has_more_before_it_than_a_window_and_a_frame(
        rate in 4_000_u64..100_000,
        delay in 0_u64..500,
        size in 100_usize..30_000,
    ) {
        let mut world = World::new(rate, delay, 85_000);
        prop_assert_eq!(world.lives(3_000), None);
        for _ in 0..1_000 {
            world.draw(size);
            prop_assert_eq!(world.lives(40), None);
            let before = world.sent - world.shown;
            prop_assert!(before <= WINDOW + ASK_EVERY + size as u64 + 200, "{before} bytes");
        }
    }

    #[test]
    fn what_a_stopped_console_has_missed_says_nothing(
        happenings in happenings(),
        stopped in 2_100_u64..10_000_000,
        is_alive in any::<bool>(),
    ) {
        let mut world = World::quick();
        world.lives(2_000);
        world.goes_through(&happenings);
        let asked = world.asked;
        if !is_alive {
            world.dies = world.now;
        }
        world.now += stopped;
        let left = world.lives(10_000).map(|left| (left, world.asked));
        match left {
            None => prop_assert!(is_alive),
            Some((_, asked_by_then)) => prop_assert!(!is_alive && asked_by_then > asked, "it was asked anew"),
        }
    }
}

#[test]
fn a_terminal_is_asked_after_the_first_second_and_then_in_every_quiet_one() {
    let mut world = World::quick();
    world.lives(990);
    assert_eq!(world.asked, 0);
    world.lives(60_000);
    assert!((55..=61).contains(&world.asked), "{}", world.asked);
    assert_eq!(world.sent, 4 * world.asked as u64, "four bytes a second");
}

#[test]
fn nothing_is_asked_while_somebody_types() {
    let mut world = World::quick();
    world.lives(5_000);
    let asked = world.asked;
    for _ in 0..100 {
        world.key();
        world.lives(500);
    }
    assert_eq!(world.asked, asked);
}

#[test]
fn a_key_is_as_good_as_an_answer() {
    let mut world = World::quick();
    world.lives(5_000);
    // Its answers are lost; its keys are not. A minute of this, and it is not asked for more.
    world.delay = 10_000_000;
    for _ in 0..200 {
        world.key();
        assert_eq!(world.lives(2_000), None);
    }
    assert_eq!(world.lives(500_000), None, "it is taken for one that cannot answer");
    assert!(world.lives(200_000).is_some());
}

#[test]
fn a_terminal_that_never_answers_is_left_after_many_minutes_without_a_key() {
    let mut world = World::quick();
    world.delay = 10_000_000;
    assert_eq!(world.lives(590_000), None);
    world.key();
    let begun = world.now;
    let left = world.lives(700_000).expect("it leaves");
    assert_eq!((left - begun) / 1_000, 600);
    assert!(world.asked < 30, "ever more rarely: {}", world.asked);
}

#[test]
fn a_terminal_that_falls_silent_in_a_flood_is_not_given_the_longest_patience_twice() {
    let mut world = World::new(7_354, 3_511, 194_260);
    while world.pulse.slowest.is_none() {
        world.step();
    }
    world.goes_through(&[Happening::Key, Happening::Pause(10), Happening::Key, Happening::Flood(6_164, 6_520)]);
    world.dies = world.now;
    let died = world.now;
    // When it is no longer held back it fills what is between with frames, each with its questions.
    let left = (0..2_000).find_map(|_| world.goes_through(&[Happening::Flood(13_512, 40)])).expect("it leaves");
    assert!(left <= died + 32_000, "{} ms after", left - died);
}

#[test]
fn a_terminal_that_takes_nothing_is_left_after_a_minute_if_it_never_answered() {
    let mut world = World::new(0, 0, 5_000);
    world.draw(20_000);
    let left = world.lives(100_000).expect("it leaves");
    assert_eq!(left / 1_000, 60);
}

#[test]
fn questions_stand_between_control_sequences_only() {
    let mut world = World::quick();
    world.lives(3_000);
    let frame: Vec<u8> = "\x1b[12;7H支払い移行\x1b[0;1;31mword".bytes().cycle().take(50_000).collect();
    let (asking, ends) = world.pulse.with_questions(frame.clone());
    assert_eq!(ends.len(), 12, "one for every four KiB");
    let mut left = Vec::new();
    let mut from = 0;
    for end in ends {
        assert_eq!(&asking[end - QUERY.len()..end], QUERY);
        assert_eq!(asking[end], 0x1b, "a sequence begins after it");
        left.extend_from_slice(&asking[from..end - QUERY.len()]);
        from = end;
    }
    left.extend_from_slice(&asking[from..]);
    assert_eq!(left, frame, "nothing else is changed");
}

#[test]
fn a_small_frame_carries_no_question() {
    let mut world = World::quick();
    world.lives(3_000);
    let (frame, questions) = world.pulse.with_questions(b"\x1b[1mx".repeat(100));
    assert_eq!((frame.len(), questions.len()), (500, 0));
}
