//! Durations, counted in buckets: logarithmic, each octave in 128 linear steps. Any value is off by less than 0.4 %, and
//! recording costs an addition, whatever the number of samples. The largest, the mean and the number are exact.

/// A distribution of nanoseconds.
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    sum: u128,
    max: u64,
}

const STEP_BITS: u32 = 7;
/// Up to 2^44 ns, almost five hours; what is longer is counted there.
const VALUE_BITS_MAX: u32 = 44;
const BUCKETS: usize = ((VALUE_BITS_MAX - STEP_BITS + 1) as usize) << STEP_BITS;

impl Histogram {
    pub fn new() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, sum: 0, max: 0 }
    }

    pub fn clear(&mut self) {
        self.buckets.fill(0);
        (self.count, self.sum, self.max) = (0, 0, 0);
    }

    pub fn record(&mut self, nanos: u64) {
        self.record_many(nanos, 1);
    }

    pub fn record_many(&mut self, nanos: u64, times: u64) {
        self.buckets[bucket_of(nanos)] += times;
        self.count += times;
        self.sum += u128::from(nanos) * u128::from(times);
        self.max = self.max.max(nanos);
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn max(&self) -> Option<u64> {
        (self.count > 0).then_some(self.max)
    }

    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    /// The smallest value that at least this share of the samples does not exceed (nearest rank).
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut below = 0;
        let at = self.buckets.iter().position(|count| {
            below += count;
            below >= rank
        });
        at.map(|bucket| middle_of(bucket).min(self.max))
    }
}

fn bucket_of(value: u64) -> usize {
    let value = value.min((1 << VALUE_BITS_MAX) - 1);
    // Below two octaves of steps each value has its own bucket; above, the leading bits choose it.
    let shift = value.max(1).ilog2().saturating_sub(STEP_BITS);
    ((shift as usize) << STEP_BITS) + (value >> shift) as usize
}

fn middle_of(bucket: usize) -> u64 {
    let shift = (bucket >> STEP_BITS).saturating_sub(1) as u32;
    let low = ((bucket - ((shift as usize) << STEP_BITS)) as u64) << shift;
    low + ((1 << shift) >> 1)
}
