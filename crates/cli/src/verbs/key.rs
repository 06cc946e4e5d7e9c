//! `selvedge key`: keys to sign artifacts with.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Subcommand;

use crate::files;
use crate::secrets::{self, PasswordArgs};

/// Make keys to sign artifacts with
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    New(New),
}

/// Make a key pair: NAME.key, which is secret, and NAME.pub
///
/// The keys are minisign's, and work with its tools. The secret one signs; only
/// you can read its file, and it is encrypted with a password. The public one
/// tells others that it was you.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge key new                              selvedge.key and selvedge.pub
  selvedge key new -o keys/release
  selvedge key new --no-password -o ci          for machines")]
struct New {
    /// What the files are called, without their endings
    #[arg(short, long, value_name = "NAME", default_value = "selvedge")]
    output: PathBuf,
    /// Do not encrypt the secret key: whoever gets the file can sign
    #[arg(long, conflicts_with = "password_file")]
    no_password: bool,
    #[command(flatten)]
    password: PasswordArgs,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let What::New(new) = &args.what;
    let with_ending = |ending: &str| {
        let mut path = new.output.as_os_str().to_owned();
        path.push(ending);
        PathBuf::from(path)
    };
    let (secret, public) = (with_ending(".key"), with_ending(".pub"));
    for path in [&secret, &public] {
        ensure!(!path.exists(), "{} is there already; name others with -o", path.display());
    }
    let pair = secrets::new((!new.no_password).then_some(&new.password))?;
    secrets::write(&secret, &pair.sk.to_box(Some("selvedge secret key"))?.into_string())?;
    files::write(&public, pair.pk.to_box()?.into_string().as_bytes())?;
    files::print(&format!("{}\n", pair.pk.to_base64()))?;
    eprintln!("keep {} secret; give {}, or the line above, to those who check", secret.display(), public.display());
    Ok(ExitCode::SUCCESS)
}
