//! `tollgate audit verify`: whether anybody changed the audit trail.

use std::{fs, path::PathBuf};

use clap::Args;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    super::{
        answer::cell,
        client::{Call, Client},
        failure::{Exit, Failure},
        operator::Operator,
        out::{Out, Rows},
    },
    archive,
};
use crate::{
    config::Secret,
    domain::audit::{
        chain::{Broken, ChainPage, Walk, Why},
        head::{ChainHead, SignedHead},
    },
};

/// A walk along the whole chain.
#[derive(Args, Clone, Debug)]
pub(super) struct Verify {
    /// The oldest entries were archived: take the oldest that is kept for what it says it is
    #[arg(long)]
    archived: bool,

    /// File of an archive, whose entries come before those in the store; may be given several times
    #[arg(long, value_name = "PATH", conflicts_with = "archived")]
    archive: Vec<PathBuf>,

    /// File with the key that `--audit-key-file` gave to those who signed
    #[arg(long, value_name = "PATH", requires = "heads")]
    key_file: Option<PathBuf>,

    /// File with what they signed; may be given several times
    #[arg(long, value_name = "PATH", requires = "key_file")]
    heads: Vec<PathBuf>,

    #[command(flatten)]
    operator: Operator,
}

impl Verify {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let signed = self.signed(out)?;
        let client = self.operator.client_of_all()?;
        let mut trails = Vec::new();
        let mut is_whole = true;
        let mut partitions = 1;
        let mut partition = 0;
        while partition < partitions {
            let mut walk = Walk::begin(self.archived);
            let of_partition = signed.iter().filter(|it| it.partition == partition);
            of_partition.for_each(|head| walk.expect(head.clone()));
            let mut walked = archive::walk_along(&self.archive, partition, &mut walk, out)?;
            if walked.is_ok() {
                (partitions, walked) = walk_along(&client, partition, &mut walk)?;
            }
            is_whole &= walked.is_ok();
            trails.push(told(partition, &walk, walked.as_ref().err()));
            partition += 1;
        }
        if let Some(head) = signed.iter().find(|head| head.partition >= partitions) {
            let message = format!(
                "a head of partition {} is signed, and there are {partitions}",
                head.partition
            );
            return Err(Failure::Local(message));
        }
        let answer = json!({ "verified": is_whole, "trails": trails });
        out.data(self.operator.output(), &answer, || rows(&trails));
        if is_whole {
            return Ok(Exit::Done);
        }
        for trail in &trails {
            if let Some(sentence) = sentence(trail) {
                out.note(sentence);
            }
        }
        Ok(Exit::Failed)
    }

    /// What was signed. A line that was cut off says nothing, as one that is not there.
    fn signed(&self, out: &mut Out<'_>) -> Result<Vec<ChainHead>, Failure> {
        let Some(key_file) = &self.key_file else { return Ok(Vec::new()) };
        let key = Secret::audit_key("--key-file", key_file).map_err(|it| Failure::usage(&it))?;
        let mut heads = Vec::new();
        for path in &self.heads {
            let name = path.display();
            let text = fs::read_to_string(path)
                .map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?;
            for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.is_empty()) {
                let Ok(signed) = serde_json::from_str::<SignedHead>(line) else {
                    out.note(format_args!("line {number} of {name} cannot be read"));
                    continue;
                };
                let is_signed = signed.is_signed_with(key.expose().as_bytes());
                if !is_signed.map_err(|error| Failure::local(&error))? {
                    let message = format!("line {number} of {name} was not signed with this key");
                    return Err(Failure::Local(message));
                }
                heads.push(signed.head);
            }
        }
        Ok(heads)
    }
}

/// Walks along one partition's trail as far as it is sound; tells how many partitions there are.
fn walk_along(
    client: &Client,
    partition: u16,
    walk: &mut Walk,
) -> Result<(u16, Result<(), Broken>), Failure> {
    loop {
        let call = Call::new("GET", "/v1/audit/chain")
            .query("partition", Some(partition))
            .query("after", walk.last.as_ref());
        let Told { partitions, page } =
            serde_json::from_value(client.send(&call)?).map_err(|error| Failure::local(&error))?;
        let taken = walk.take(&page);
        if taken.is_err() || !page.has_more {
            return Ok((partitions, taken));
        }
    }
}

#[derive(Deserialize)]
struct Told {
    partitions: u16,
    #[serde(flatten)]
    page: ChainPage,
}

fn told(partition: u16, walk: &Walk, broken: Option<&Broken>) -> Value {
    json!({
        "partition": partition,
        "verified": broken.is_none(),
        "entries": walk.entries,
        "first": walk.first,
        "last": walk.last,
        "brokenAt": broken.and_then(|it| it.at.as_ref()),
        "why": broken.map(|it| it.why.as_str()),
    })
}

fn rows(trails: &[Value]) -> Rows {
    let header = ["PARTITION", "VERIFIED", "ENTRIES", "FIRST", "LAST", "BROKEN AT", "WHY"];
    let fields = ["partition", "verified", "entries", "first", "last", "brokenAt", "why"];
    trails
        .iter()
        .fold(Rows::under(header), |rows, trail| rows.row(fields.map(|field| cell(trail, field))))
}

fn sentence(trail: &Value) -> Option<String> {
    let why = trail.get("why")?.as_str()?;
    let (partition, entry) = (cell(trail, "partition"), cell(trail, "brokenAt"));
    let known = [
        Why::DoesNotFollow,
        Why::EndMissing,
        Why::NoBeginning,
        Why::OtherNotes,
        Why::OtherThanSigned,
    ];
    Some(match known.into_iter().find(|it| it.as_str() == why)? {
        Why::DoesNotFollow => format!(
            "partition {partition}: entry {entry} does not follow from the one before it: it was \
             changed, or what was between them is gone"
        ),
        Why::EndMissing => {
            format!("partition {partition}: what was written after entry {entry} is gone")
        }
        Why::OtherNotes => {
            format!("partition {partition}: the notes of entry {entry} were changed")
        }
        Why::OtherThanSigned => format!(
            "partition {partition}: entry {entry} is not there as it was signed: the chain was \
             made anew"
        ),
        Why::NoBeginning => format!(
            "partition {partition}: entry {entry} is not the first that was written, or it was \
             changed; if older ones were archived, give their files with --archive"
        ),
    })
}
