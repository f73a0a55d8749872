//! `tollgate poll flexportal`: FlexPortal has no webhooks, so it is asked.

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    Cut,
    acts::{Memory, Tally, Tollgate},
    lists::{Lists, Turn},
    pace,
    stop::Stop,
};
use crate::{
    cli::{
        client::Client,
        failure::{Exit, Failure},
        operator::Operator,
        out::Out,
    },
    clock::{Clock, jittered},
    config::{BaseUrl, ClientTls, ClientTlsSettings, Secret, parse_duration},
    domain::TenantId,
};

/// Which FlexPortal is asked, how often, and which Tollgate is told.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct Polling {
    /// Where FlexPortal's API is, like `https://api.flexportal.example`; `http://` only on this
    /// machine
    #[arg(long, env = "TOLLGATE_FLEXPORTAL_URL", value_name = "URL", value_parser = BaseUrl::parse)]
    url: BaseUrl,

    /// File with the key for FlexPortal, read again for every round; `TOLLGATE_FLEXPORTAL_KEY`
    /// gives the key itself
    #[arg(long, env = "TOLLGATE_FLEXPORTAL_KEY_FILE", value_name = "PATH")]
    key_file: Option<PathBuf>,

    #[arg(skip = Secret::from_environment(KEY))]
    key: Option<Secret>,

    /// File with the certificates (PEM) of the authorities that FlexPortal is trusted by; those of
    /// the operating system unless given
    #[arg(long, env = "TOLLGATE_FLEXPORTAL_CA", value_name = "PATH")]
    ca: Option<PathBuf>,

    /// The tenant at FlexPortal, where it is called otherwise than by --tenant
    #[arg(long, env = "TOLLGATE_FLEXPORTAL_TENANT", value_name = "TENANT")]
    #[arg(value_parser = TenantId::parse)]
    flexportal_tenant: Option<TenantId>,

    /// How long to wait between two rounds, by chance up to a fifth more or less; at least 1s
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    every: Duration,

    /// End after one round
    #[arg(long)]
    once: bool,

    /// Only tell what one round would do
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    operator: Operator,
}

/// What goes on from round to round.
#[derive(Debug, Default)]
struct Going {
    memory: Memory,
    turn: Turn,
    rounds: u32,
    changed: usize,
    /// Rounds in a row that were given up.
    failures: u32,
}

impl Polling {
    /// Goes round until it is asked to stop.
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        if self.every < SHORTEST {
            return Err(Failure::Usage("--every must be at least 1s".to_owned()));
        }
        // A wrong use is told before anything is asked.
        self.portal()?;
        self.operator.client()?;
        let (stop, clock) = (Stop::by_signal()?, Clock::system());
        let mut going = Going::default();
        let is_once = self.once || self.dry_run;
        loop {
            let (tally, ended) = self.round(&mut going, &clock, &stop, out);
            match ended {
                Err(Cut::Stopped) => break,
                Err(Cut::Failed(failure)) if is_once => return Err(failure),
                Err(Cut::Failed(failure)) => {
                    out.failure(&failure);
                    going.failures += 1;
                }
                Ok(()) if is_once => return Ok(exit(tally)),
                Ok(()) => going.failures = 0,
            }
            let pause = match going.failures {
                0 => jittered(self.every),
                failures => pace::backoff(failures, self.every, self.every.max(LONGEST_BACKOFF)),
            };
            if out.is_closed() || stop.wait(pause).is_err() {
                break;
            }
        }
        let Going { rounds, changed, .. } = going;
        out.note(format_args!(
            "Stopped in round {rounds}; {changed} customers were changed in all."
        ));
        Ok(if is_once { Exit::Undecided } else { Exit::Done })
    }

    /// One round, told in a line.
    fn round(
        &self,
        going: &mut Going,
        clock: &Clock,
        stop: &Stop,
        out: &mut Out<'_>,
    ) -> (Tally, Result<(), Cut>) {
        going.rounds += 1;
        let (begun, mut tally) = (clock.moment(), Tally::default());
        let ended = self.go_round(going, &mut tally, clock, stop, out);
        going.changed += tally.changed;
        let seconds = clock.moment().saturating_since(begun).as_secs_f64();
        let Tally { seen, inactive, changed, refused, waiting } = tally;
        let (changed, how) = match (self.dry_run, &ended) {
            (true, _) => (format!("{changed} would be changed"), "done"),
            (false, Ok(())) => (format!("{changed} changed"), "done"),
            (false, Err(_)) => (format!("{changed} changed"), "given up"),
        };
        out.note(format_args!(
            "Round {}: {seen} seen, {inactive} of them inactive; {changed}, {refused} refused, \
             {waiting} waiting; {how} in {seconds:.1} s.",
            going.rounds
        ));
        (tally, ended)
    }

    fn go_round(
        &self,
        going: &mut Going,
        tally: &mut Tally,
        clock: &Clock,
        stop: &Stop,
        out: &mut Out<'_>,
    ) -> Result<(), Cut> {
        let (portal, operator) = (self.portal()?, self.operator.client()?);
        let tollgate = Tollgate {
            client: &operator,
            source: SOURCE,
            dry_run: self.dry_run,
            output: self.operator.output(),
            stop,
        };
        going.memory.refresh(&tollgate)?;
        let said = Lists { client: &portal, turn: &mut going.turn, clock, stop }.read(out)?;
        tollgate.apply(&said, &mut going.memory, tally, out)
    }

    /// FlexPortal, asked with its key and for its tenant.
    fn portal(&self) -> Result<Client, Failure> {
        if !self.url.is_encrypted() && !self.url.is_loopback() {
            return Err(Failure::Usage(format!(
                "--url {} would send the key in the clear; it must be https://, or on this machine",
                self.url
            )));
        }
        let tenant = self.flexportal_tenant.as_ref().or(self.operator.tenant.as_ref());
        let tenant = tenant.ok_or_else(|| {
            let rule =
                "--tenant is required, or --flexportal-tenant: FlexPortal is asked by tenant";
            Failure::Usage(rule.to_owned())
        })?;
        let key = match &self.key_file {
            Some(path) => Secret::from_file("--key-file", path).map(Some),
            None => Ok(self.key.clone()),
        };
        let key = key.map_err(|error| Failure::usage(&error))?;
        let key = key.ok_or_else(|| {
            Failure::Usage(format!("--key-file is required, or {KEY} with the key itself"))
        })?;
        let tls = ClientTls {
            settings: &TLS,
            authorities: self.ca.as_deref(),
            certificate: None,
            key: None,
        };
        let tls = tls.load(&self.url).map_err(|error| Failure::usage(&error))?;
        let client = Client::new(self.url.clone(), "--url", tls);
        Ok(client.with_token(Some(key)).with_tenant(Some(tenant.clone())))
    }
}

/// How one round ends the process.
const fn exit(tally: Tally) -> Exit {
    match tally {
        Tally { refused: 1.., .. } => Exit::Failed,
        Tally { waiting: 1.., .. } => Exit::Undecided,
        Tally { .. } => Exit::Done,
    }
}

const SOURCE: &str = "flexportal";
/// The variable with the key itself. There is no such flag: its value could be read in the process
/// list.
const KEY: &str = "TOLLGATE_FLEXPORTAL_KEY";
/// Nobody is asked for all customers more often.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_mins(15);
const TLS: ClientTlsSettings =
    ClientTlsSettings { url: "--url", authorities: "--ca", certificate: "--cert", key: "--key" };
