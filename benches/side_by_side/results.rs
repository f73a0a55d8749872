//! What was measured, and the table of it.

use std::collections::HashMap;

use crate::{contender::Name, rounds::Plan};

/// One run of one contender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Answers a second.
    pub(crate) rate: f64,
    /// The server's CPU time per answer, in microseconds.
    pub(crate) cpu: f64,
    /// The share of its core that the server used.
    pub(crate) busy: f64,
}

/// Every round's sample of every contender.
#[derive(Debug, Default)]
pub(crate) struct Results {
    names: Vec<Name>,
    samples: HashMap<Name, Vec<Sample>>,
}

impl Results {
    /// One more round's.
    pub(crate) fn add(&mut self, name: Name, sample: Sample) {
        if !self.names.contains(&name) {
            self.names.push(name);
        }
        self.samples.entry(name).or_default().push(sample);
    }

    /// The median of something.
    pub(crate) fn median(&self, name: Name, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples[&name].iter().map(of))
    }

    /// The median of something in relation to another contender's in the same round.
    pub(crate) fn ratio(&self, name: Name, to: Name, of: impl Fn(&Sample) -> f64) -> f64 {
        let rounds = self.samples[&name].iter().zip(&self.samples[&to]);
        median(rounds.map(|(one, other)| of(one) / of(other)))
    }

    /// Prints the table, in Markdown.
    pub(crate) fn print(&self, plan: &Plan) {
        let (rounds, seconds) = (plan.rounds, plan.measured.as_secs());
        println!(
            "| one server core, 64 at once, medians of {rounds} rounds of {seconds} s \
             | requests a second | CPU per request | core in use \
             | requests, of the bare server's | CPU, of the bare server's |"
        );
        println!("|---|---:|---:|---:|---:|---:|");
        for name in &self.names {
            let bare = name.bare();
            println!(
                "| {} | {:.0} | {:.2} µs | {:.0} % | {:.2} | {:.2} |",
                name.label(),
                self.median(*name, |sample| sample.rate),
                self.median(*name, |sample| sample.cpu),
                self.median(*name, |sample| sample.busy) * 100.0,
                self.ratio(*name, bare, |sample| sample.rate),
                self.ratio(*name, bare, |sample| sample.cpu),
            );
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}
