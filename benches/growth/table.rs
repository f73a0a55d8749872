//! The table of an axis, and where along it something gives.

use crate::scene::Measured;

/// Rows as they are measured.
#[derive(Debug)]
pub(crate) struct Table {
    axis: &'static str,
    rows: Vec<(String, Measured)>,
}

/// A column: its head, its value, and how it is shown.
struct Column {
    head: &'static str,
    of: fn(&Measured) -> f64,
    shown: fn(f64) -> String,
    /// Whether it is told from where on it is more than twice what it is in the first row.
    has_knee: bool,
}

impl Table {
    pub(crate) const fn along(axis: &'static str) -> Self {
        Self { axis, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, step: String, measured: Measured) {
        self.rows.push((step, measured));
    }

    /// Prints it in Markdown, with a sentence below.
    pub(crate) fn print(&self) {
        let heads: Vec<_> = COLUMNS.iter().map(|column| column.head).collect();
        println!("\n| {} | {} |", self.axis, heads.join(" | "));
        println!("|---|{}", "---:|".repeat(COLUMNS.len()));
        for (step, measured) in &self.rows {
            let cells = COLUMNS.iter().map(|column| (column.shown)((column.of)(measured)));
            println!("| {step} | {} |", cells.collect::<Vec<_>>().join(" | "));
        }
        let Some((_, first)) = self.rows.first() else { return };
        let knees: Vec<_> = COLUMNS
            .iter()
            .filter(|column| column.has_knee)
            .filter_map(|Column { head, of, .. }| {
                let mut rows = self.rows.iter();
                let (step, _) = rows.find(|(_, row)| of(row) > 2.0 * of(first))?;
                Some(format!("{head} from {step} on"))
            })
            .collect();
        let knees = if knees.is_empty() { "nothing".to_owned() } else { knees.join("; ") };
        println!("\nMore than twice what it is in the first row: {knees}.");
    }
}

const COLUMNS: &[Column] = &[
    Column {
        head: "ready after",
        of: |row| row.ready_after.as_secs_f64(),
        shown: |seconds| format!("{seconds:.2} s"),
        has_knee: true,
    },
    Column {
        head: "CPU per check",
        of: |row| row.checks.cpu,
        shown: |micros| format!("{micros:.1} µs"),
        has_knee: true,
    },
    Column {
        head: "checks a second",
        of: |row| row.checks.rate,
        shown: |rate| format!("{rate:.0}"),
        has_knee: false,
    },
    Column {
        head: "changes a second",
        of: |row| row.effects.rate,
        shown: |rate| format!("{rate:.0}"),
        has_knee: false,
    },
    Column {
        head: "commit to effect, p50",
        of: |row| row.effects.from_committed.millis_at(50.0),
        shown: |millis| format!("{millis:.2} ms"),
        has_knee: true,
    },
    Column {
        head: "p99",
        of: |row| row.effects.from_committed.millis_at(99.0),
        shown: |millis| format!("{millis:.2} ms"),
        has_knee: true,
    },
    Column {
        head: "request to effect, p99",
        of: |row| row.effects.from_sent.millis_at(99.0),
        shown: |millis| format!("{millis:.2} ms"),
        has_knee: true,
    },
    Column {
        head: "core of who only hears",
        of: |row| row.hearing_cpu,
        shown: percent,
        has_knee: true,
    },
    Column {
        head: "its memory",
        of: |row| megabytes(row.hearing_memory),
        shown: |megabytes| format!("{megabytes:.0} MB"),
        has_knee: true,
    },
    Column {
        head: "memory of who is asked",
        of: |row| megabytes(row.asked_memory),
        shown: |megabytes| format!("{megabytes:.0} MB"),
        has_knee: true,
    },
    Column { head: "core of Redis", of: |row| row.redis_cpu, shown: percent, has_knee: true },
    Column {
        head: "Redis sends",
        of: |row| row.redis_sends,
        shown: |bytes| format!("{:.2} MB/s", bytes / 1e6),
        has_knee: true,
    },
    Column {
        head: "memory of Redis",
        of: |row| megabytes(row.redis_memory),
        shown: |megabytes| format!("{megabytes:.0} MB"),
        has_knee: true,
    },
];

#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}
