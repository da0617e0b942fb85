//! Welch's t-test: whether two kinds of measurements differ more than chance explains.

/// Measurements of one kind, by what is needed of them (Welford's method).
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

    /// Of the mean.
    fn variance(&self) -> f64 {
        self.squares / (self.count - 1.0) / self.count
    }
}

/// How many standard errors the means are apart. Beyond 4.5 with many measurements, chance explains
/// it once in 100,000 times.
pub(crate) fn t(a: &Sample, b: &Sample) -> f64 {
    (a.mean - b.mean) / (a.variance() + b.variance()).sqrt()
}

/// What two kinds of things take, each measured many times, and their t. One thing counts once,
/// with its median: where its digest happens to fall in a table makes a difference that is its own,
/// however often it is measured.
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
