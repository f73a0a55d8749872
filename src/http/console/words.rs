//! What things are called where people read them.

use maud::{Markup, Render, html};

use crate::domain::{Kind, RestrictionReason, Status, Timestamp, Verb};

/// A customer's status: as a word, a shape and a colour, so that each may be missed.
pub(super) fn status(status: Status) -> Markup {
    let (shape, word) = match status {
        Status::Active => ("●", "Active"),
        Status::Frozen => ("◐", "Frozen"),
        Status::Inactive => ("○", "Inactive"),
        Status::Disabled => ("■", "Disabled"),
    };
    html! {
        span class={ "status status-" (status.as_str()) } {
            span aria-hidden="true" { (shape) } " " (word)
        }
    }
}

/// The same, of what a restriction makes of its customer.
pub(super) fn kind(kind: Kind) -> Markup {
    status(Status::from(Some(kind)))
}

/// What a status means to whoever answers for it.
pub(super) const fn meaning(status: Status) -> &'static str {
    match status {
        Status::Active => "Nothing restricts this customer.",
        Status::Frozen => "It may read and not write. Subscriptions are kept and not charged.",
        Status::Inactive => "It is closed, and everything is preserved.",
        Status::Disabled => "It has no access.",
    }
}

/// What an access leaves.
pub(super) fn access(word: &str) -> &str {
    match word {
        "read_write" => "Read and write",
        "read_only" => "Read only",
        "none" => "None",
        other => other,
    }
}

/// A reason as people say it.
pub(super) const fn reason(reason: RestrictionReason) -> &'static str {
    match reason {
        RestrictionReason::AccountClosure => "Account closure",
        RestrictionReason::Compliance => "Compliance",
        RestrictionReason::CustomerRequest => "Customer request",
        RestrictionReason::DataCleanup => "Data cleanup",
        RestrictionReason::Dispute => "Dispute",
        RestrictionReason::Fraud => "Fraud",
        RestrictionReason::NonPayment => "Non-payment",
        RestrictionReason::Other => "Other",
        RestrictionReason::Security => "Security",
        RestrictionReason::UsageLimit => "Usage limit",
    }
}

/// The verb that places a kind.
pub(super) const fn places(kind: Kind) -> Verb {
    match kind {
        Kind::Disabled => Verb::Disable,
        Kind::Frozen => Verb::Freeze,
        Kind::Inactive => Verb::Deactivate,
    }
}

/// The verb that lifts a kind.
pub(super) const fn lifts(kind: Kind) -> Verb {
    match kind {
        Kind::Disabled => Verb::Enable,
        Kind::Frozen => Verb::Unfreeze,
        Kind::Inactive => Verb::Reactivate,
    }
}

/// A verb as a button says it, what was done by it, and what it does.
pub(super) const fn verb(verb: Verb) -> Act {
    let (button, done, does) = match verb {
        Verb::Disable => ("Disable", "Disabled", "It loses all access at once."),
        Verb::Enable => ("Enable", "Enabled", "The disable is lifted."),
        Verb::Freeze => ("Freeze", "Frozen", "It may read, and not write, and is not charged."),
        Verb::Unfreeze => ("Unfreeze", "Unfrozen", "The freeze is lifted."),
        Verb::Deactivate | Verb::Delete => {
            ("Deactivate", "Deactivated", "It is closed (inactive). Everything is preserved.")
        }
        Verb::Reactivate => ("Reactivate", "Reactivated", "It is opened again."),
        Verb::Lapse => ("Lapse", "Lapsed", "What has lapsed is taken away."),
        Verb::Purge => ("Erase", "Erased", "It is erased for ever."),
        Verb::Put => ("Write", "Written", "Its record is written."),
    };
    Act { button, done, does }
}

/// What a verb is called.
pub(super) struct Act {
    pub(super) button: &'static str,
    pub(super) done: &'static str,
    pub(super) does: &'static str,
}

/// What two other systems call it, where somebody may mean another thing by the word.
pub(super) const INACTIVE: &str = "Inactive means closed. What Wingback's call named inactivate does \
     is called freeze here.";

/// A moment: in UTC, until the browser shows it in the reader's own zone.
pub(super) struct At(pub(super) Timestamp);

impl Render for At {
    fn render(&self) -> Markup {
        let whole = self.0.to_string();
        let (text, _) = whole.split_at_checked(19).unwrap_or((&whole, ""));
        html! { time datetime=(whole) title=(whole) { (text.replace('T', " ")) } }
    }
}

/// The same, or a word where there is no such moment.
pub(super) fn at_or(moment: Option<Timestamp>, otherwise: &str) -> Markup {
    html! {
        @match moment {
            Some(moment) => { (At(moment)) }
            None => { span.dim { (otherwise) } }
        }
    }
}

/// How many there are of something.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{} {many}", grouped(number)) }
}

/// A number with its thousands apart.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (100_000, "100,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(count(1, "customer", "customers"), "1 customer");
        assert_eq!(count(0, "customer", "customers"), "0 customers");
    }

    #[test]
    fn a_moment_says_utc_to_whoever_points_at_it() {
        let shown = At(Timestamp::from_millis(1_795_000_000_123)).render().into_string();
        assert!(shown.contains("title=\"2026-11-18T"), "{shown}");
        assert!(shown.contains("Z\">2026-11-18 "), "{shown}");
    }
}
