//! How large the next batch is, so that a batch takes about as long as it should.
//!
//! What a document costs is averaged geometrically: a batch that took ten times as long as the ones around it moves the size by half,
//! and the ones after it move it back.
//!
//! A batch also costs what does not depend on its size: ways to the server and back, its own records. Where that alone takes longer than a
//! batch should (a server far away, or one that has much else to do), smaller batches would make it neither faster nor gentler, only less is
//! done: there the documents of a batch are granted as long as everything else about it takes.

use std::time::Duration;

/// Documents of the first batch, of which nothing is known.
const START: f64 = 200.0;
/// What one batch counts in the average, 0 to 1.
const WEIGHT: f64 = 0.3;
/// A batch is at most so many times as large as the one before.
const GROWTH: f64 = 2.0;
/// A batch is at least this part of the one before.
const SHRINKAGE: f64 = 0.25;
/// How fast a size that was too much is tried again: so many times more with every batch that succeeds.
const FORGIVENESS: f64 = 1.05;
/// Documents are granted at most so many times the target time, however long everything else takes.
const MOST_FIXED: f64 = 10.0;
/// Below this, a clock says nothing about a batch.
const LEAST_SECONDS: f64 = 1e-5;

/// Follows the speed of a server. Pure; of one lane, or shared by several.
#[derive(Clone, Debug)]
pub struct Pacer {
    target: f64,
    most: f64,
    /// Seconds per document, averaged.
    cost: f64,
    /// Seconds per batch that do not depend on its size, averaged.
    fixed: f64,
    /// Between these is the next size, seen from the latest batch.
    bounds: (f64, f64),
    /// What was not too much.
    limit: f64,
    /// How much of the target time is granted.
    scale: f64,
}

impl Pacer {
    /// A pacer whose batches take `target` and hold at most `most` documents.
    #[must_use]
    pub fn new(target: Duration, most: u32) -> Self {
        let (target, most) = (target.as_secs_f64().max(1e-3), f64::from(most.max(1)));
        Self { target, most, cost: target / START, fixed: LEAST_SECONDS, bounds: (1.0, START), limit: most, scale: 1.0 }
    }

    /// Documents for the next batch, for `scale` (0 to 1, see [`Throttle::scale`](super::throttle::Throttle::scale)) times the target time.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is from 1 to `most`, which is a u32"
    )]
    pub fn size(&mut self, scale: f64) -> u32 {
        self.scale = scale;
        self.exact().round() as u32
    }

    fn exact(&self) -> f64 {
        let (least, largest) = self.bounds;
        (self.granted() / self.cost).clamp(least, largest).min(self.limit).clamp(1.0, self.most)
    }

    /// Seconds for the documents of a batch.
    fn granted(&self) -> f64 {
        (self.target * self.scale).max(self.fixed.min(MOST_FIXED * self.target))
    }

    /// Learns that a batch of `documents` kept the server busy with them for `time`, and with itself for `fixed`; without the wait for the
    /// confirmation of other servers, which is nobody's work.
    pub fn took(&mut self, documents: u32, time: Duration, fixed: Duration) {
        let (documents, time) = (f64::from(documents), time.as_secs_f64().max(LEAST_SECONDS));
        self.fixed *= (fixed.as_secs_f64().max(LEAST_SECONDS) / self.fixed).powf(WEIGHT);
        let size = self.exact();
        // A batch that ended with its range says little about full ones, unless even so it took too long.
        let short = documents < SHRINKAGE * size;
        if documents < 1.0 || (short && time < self.granted()) {
            return;
        }
        self.cost *= (time / documents / self.cost).powf(WEIGHT);
        // From what the batch really was: of several lanes that report at once, each has seen the same.
        let from = if short { size } else { documents };
        self.bounds = (from * SHRINKAGE, from * GROWTH);
        self.limit = (self.limit * FORGIVENESS + 1.0).min(self.most);
    }

    /// Learns that a batch was refused for its size: the next is half as large, and they grow again only slowly.
    pub fn too_much(&mut self, documents: u32) {
        self.limit = self.limit.min((f64::from(documents) / 2.0).max(1.0));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TARGET: Duration = Duration::from_millis(100);
    const MOST: u32 = 20_000;

    /// A server that takes `fixed` and then `each` per document, and `noise` times as long.
    fn batch(pacer: &mut Pacer, scale: f64, (fixed, each): (f64, f64), noise: f64) -> (u32, f64) {
        let size = pacer.size(scale);
        let time = (fixed + each * f64::from(size)) * noise;
        pacer.took(size, Duration::from_secs_f64(time), Duration::ZERO);
        (size, time)
    }

    fn settled(each: f64) -> Pacer {
        let mut pacer = Pacer::new(TARGET, MOST);
        for _ in 0..60 {
            batch(&mut pacer, 1.0, (0.0, each), 1.0);
        }
        pacer
    }

    proptest! {
        #[test]
        fn batches_come_to_take_the_target_time(
            fixed in 0.0..0.03_f64,
            // 1 µs to 10 ms.
            each in (-6.0..-2.0_f64).prop_map(|power| 10_f64.powf(power)),
            scale in 0.3..=1.0_f64,
            noise in prop::collection::vec(0.8..1.25_f64, 80),
        ) {
            let mut pacer = Pacer::new(TARGET, MOST);
            for noise in &noise {
                batch(&mut pacer, scale, (fixed, each), *noise);
            }
            let (size, time) = batch(&mut pacer, scale, (fixed, each), 1.0);
            let target = TARGET.as_secs_f64() * scale;
            // A large part that does not depend on the size makes the average follow more slowly.
            let off = time / target;
            prop_assert!((0.6..1.6).contains(&off) || (off < 1.0 && size == MOST) || size == 1, "{size} took {off} of the target");
        }

        #[test]
        fn a_size_never_leaves_its_bounds_nor_jumps(
            most in 1..100_000_u32,
            reports in prop::collection::vec((0..2_000_000_u64, 0.02..=1.0_f64, any::<bool>()), 1..100),
        ) {
            let mut pacer = Pacer::new(TARGET, most);
            for (micros, scale, refused) in reports {
                let size = pacer.size(scale);
                prop_assert!((1..=most).contains(&size));
                if refused {
                    pacer.too_much(size);
                    prop_assert!(pacer.size(scale) <= size.div_ceil(2));
                } else {
                    pacer.took(size, Duration::from_micros(micros), Duration::ZERO);
                    let next = pacer.size(scale);
                    prop_assert!(next <= 2 * size + 1 && next >= size / 4, "{size}, then {next}");
                }
            }
        }
    }

    #[test]
    fn one_slow_batch_halves_the_size_once_at_most_and_is_soon_forgotten() {
        let mut pacer = settled(1e-4);
        assert_eq!(pacer.size(1.0), 1_000);
        batch(&mut pacer, 1.0, (0.0, 1e-4), 10.0);
        let after = pacer.size(1.0);
        assert!((490..=510).contains(&after), "{after}");
        let (next, _) = batch(&mut pacer, 1.0, (0.0, 1e-4), 1.0);
        assert!(pacer.size(1.0) > next);
        for _ in 0..8 {
            batch(&mut pacer, 1.0, (0.0, 1e-4), 1.0);
        }
        assert!(pacer.size(1.0) > 940, "{}", pacer.size(1.0));
    }

    #[test]
    fn the_end_of_a_range_changes_nothing() {
        let mut pacer = settled(1e-4);
        pacer.took(3, Duration::from_micros(20), Duration::ZERO);
        pacer.took(3, Duration::from_millis(20), Duration::ZERO);
        pacer.took(0, Duration::from_secs(2), Duration::ZERO);
        assert_eq!(pacer.size(1.0), 1_000);
    }

    #[test]
    fn a_few_documents_that_take_too_long_are_a_reason() {
        let mut pacer = settled(1e-4);
        for _ in 0..40 {
            let _ = pacer.size(1.0);
            pacer.took(1, Duration::from_millis(150), Duration::ZERO);
        }
        assert_eq!(pacer.size(1.0), 1);
    }

    #[test]
    fn a_smaller_scale_acts_with_the_next_batch() {
        assert_eq!(settled(1e-4).size(0.3), 300);
    }

    #[test]
    fn what_was_too_much_is_tried_again_only_slowly() {
        let mut pacer = settled(1e-4);
        pacer.too_much(1_000);
        assert_eq!(pacer.size(1.0), 500);
        for _ in 0..5 {
            batch(&mut pacer, 1.0, (0.0, 1e-4), 1.0);
        }
        assert!((600..700).contains(&pacer.size(1.0)), "{}", pacer.size(1.0));
        for _ in 0..60 {
            batch(&mut pacer, 1.0, (0.0, 1e-4), 1.0);
        }
        assert_eq!(pacer.size(1.0), 1_000);
    }

    #[test]
    fn a_server_that_is_far_away_is_not_asked_for_one_document_at_a_time() {
        let mut pacer = Pacer::new(TARGET, MOST);
        for _ in 0..60 {
            let documents = pacer.size(1.0);
            // What is measured of the documents is mostly the noise of the way.
            let time = 0.04 + 1e-4 * f64::from(documents);
            pacer.took(documents, Duration::from_secs_f64(time), Duration::from_millis(400));
        }
        assert!((3_000..=4_000).contains(&pacer.size(1.0)), "{}", pacer.size(1.0));
    }

    #[test]
    fn several_lanes_that_report_at_once_move_it_as_one() {
        let mut pacer = Pacer::new(TARGET, MOST);
        for _ in 0..8 {
            pacer.took(200, Duration::from_millis(1), Duration::ZERO);
        }
        assert_eq!(pacer.size(1.0), 400);
    }
}
