//! Welch's t-test: tells whether two kinds of measurements differ more than by chance.

/// The statistics of measurements of one kind (Welford's method).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    count: f64,
    mean: f64,
    /// The sum of squared distances from the mean.
    squares: f64,
}

impl Sample {
    pub(crate) fn add(&mut self, value: f64) {
        self.count += 1.0;
        let distance = value - self.mean;
        self.mean += distance / self.count;
        self.squares += distance * (value - self.mean);
    }

    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    /// Returns the variance of the mean.
    fn variance(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// Returns how many standard errors the means are apart. With many measurements, chance exceeds 4.5
/// about once in 100,000 times.
pub(crate) fn t(a: &Sample, b: &Sample) -> f64 {
    (a.mean - b.mean) / (a.variance() + b.variance()).sqrt()
}

/// Compares two kinds of things, each measured many times. Returns their samples and t. Each thing
/// counts once, by its median: the place of its digest in a table has an effect of its own, however
/// often it is measured.
pub(crate) fn compare(
    mut first: Vec<Vec<f64>>,
    mut second: Vec<Vec<f64>>,
) -> (Sample, Sample, f64) {
    let sample = |things: &mut Vec<Vec<f64>>| {
        let mut sample = Sample::default();
        for times in things {
            times.sort_by(f64::total_cmp);
            sample.add(times[times.len() / 2]);
        }
        sample
    };
    let (first, second) = (sample(&mut first), sample(&mut second));
    (first, second, t(&first, &second))
}
