//! What every verb that talks to the operator listener is told.

use std::{io, path::PathBuf};

use clap::Args;

use super::{client::Client, failure::Failure, listener::OperatorListener, out::Output};
use crate::{config::Secret, domain::TenantId};

/// How to print.
#[derive(Args, Clone, Copy, Debug)]
pub(super) struct Printing {
    /// How data is printed: table or json
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t, hide_possible_values = true)]
    pub(super) output: Output,
}

/// Where the operator listener is, and who asks.
#[derive(Args, Clone, Debug)]
pub(super) struct Operator {
    /// The customer's tenant; without it, the key's own or the default one
    #[arg(long, value_parser = TenantId::parse)]
    pub(super) tenant: Option<TenantId>,

    #[command(flatten)]
    listener: OperatorListener,

    /// File with the token; `TOLLGATE_TOKEN` gives the token itself
    #[arg(long, env = "TOLLGATE_TOKEN_FILE", value_name = "PATH", help_heading = "Connection")]
    token_file: Option<PathBuf>,

    /// Directory of a tollgate on this machine, whose operator.token is used when no other token
    /// is given
    #[arg(long, env = "TOLLGATE_DATA_DIR", value_name = "DIR", default_value = "tollgate-data")]
    #[arg(help_heading = "Connection")]
    data_dir: PathBuf,

    #[arg(skip = Secret::from_environment(TOKEN))]
    token: Option<Secret>,

    #[command(flatten)]
    printing: Printing,
}

impl Operator {
    /// The listener, asked in the name of the tenant.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        Ok(self.client_of_all()?.with_tenant(self.tenant.clone()))
    }

    /// The listener, asked in nobody's name.
    pub(super) fn client_of_all(&self) -> Result<Client, Failure> {
        let client = self.listener.client()?;
        let token = self.token(client.is_near())?;
        Ok(client.with_token(token))
    }

    /// How to print.
    pub(super) fn output(&self) -> Output {
        self.printing.output
    }

    /// ` --tenant acme`, for a command that is told to a person.
    pub(super) fn tenant_flag(&self) -> String {
        self.tenant.as_ref().map(|tenant| format!(" --tenant {tenant}")).unwrap_or_default()
    }

    /// The token of the flag, else of the variable, else of the data directory. That last one
    /// was written by a tollgate on this machine, so it is shown to no other.
    fn token(&self, is_near: bool) -> Result<Option<Secret>, Failure> {
        if let Some(token) = explicit_token(self.token_file.as_ref(), self.token.as_ref())? {
            return Ok(Some(token));
        }
        if !is_near {
            return Ok(None);
        }
        let path = self.data_dir.join("operator.token");
        match std::fs::read_to_string(&path) {
            Ok(token) => Ok(Some(Secret::new(token.trim()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::Local(format!("cannot read {}: {error}", path.display()))),
        }
    }
}

/// The token of the flag, else of the variable.
pub(super) fn explicit_token(
    file: Option<&PathBuf>,
    variable: Option<&Secret>,
) -> Result<Option<Secret>, Failure> {
    match file {
        Some(path) => {
            let token = Secret::from_file("--token-file", path);
            token.map(Some).map_err(|error| Failure::usage(&error))
        }
        None => Ok(variable.cloned()),
    }
}

/// The variable with the token itself. There is no such flag: its value could be read in the
/// process list.
pub(super) const TOKEN: &str = "TOLLGATE_TOKEN";
