//! What an expression of Prometheus asks for.

/// Every metric that `expression` reads, with the labels that it asks for.
pub(crate) fn selectors(expression: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '{' || c == '"') {
        rest = &rest[start..];
        // What is between braces or quotes names no metric.
        if let Some(end) = ["{", "\""].into_iter().find(|it| rest.starts_with(it)) {
            let closing = if end == "{" { '}' } else { '"' };
            rest = rest[1..].split_once(closing).map_or("", |(_, rest)| rest);
            continue;
        }
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let (name, after) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        let labels = after.strip_prefix('{').and_then(|it| it.split_once('}'));
        rest = labels.map_or(after, |(_, rest)| rest);
        if name == "up" || ["tollgate", "process_"].iter().any(|it| name.starts_with(it)) {
            let labels = labels.map(|(labels, _)| format!("{{{labels}}}")).unwrap_or_default();
            found.push(format!("{name}{labels}"));
        }
    }
    found
}

#[test]
fn an_expression_reads_the_metrics_that_it_names() {
    let expression = "sum by (job, le) (rate(tollgate_a_bucket{le!=\"tollgate\"}[5m])) > 2 * up \
                      and on (job) count_values (\"up\", tollgate:b:c) unless process_d offset 1h";
    assert_eq!(
        selectors(expression),
        ["tollgate_a_bucket{le!=\"tollgate\"}", "up", "tollgate:b:c", "process_d"]
    );
}
