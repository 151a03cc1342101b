//! `postrider sign` and `postrider verify`: the contract's signature by hand, for whoever writes a receiver.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use postrider_signature::{kasko, standard};

use crate::cli::{SignArgs, VerifyArgs};
use crate::terminal::{BAD, DIM, GOOD, paint, say};

/// The longest body that is read, in bytes.
const MAX_BODY_BYTES: u64 = 64 * 1024 * 1024;

/// Prints the signature header's value.
pub(crate) fn sign(args: &SignArgs) -> anyhow::Result<ExitCode> {
    let body = read_body(args.secret.file.as_deref())?;
    let signature = match (&args.id, args.timestamp) {
        (Some(id), Some(timestamp)) if args.standard_webhooks => {
            standard::sign(&standard_key(&args.secret.secret)?, id, timestamp, &body)
        }
        _ => kasko::sign(&args.secret.secret, &body),
    };
    say(signature);
    Ok(ExitCode::SUCCESS)
}

/// Says whether the signature fits, and where it does not, what may be the reason.
pub(crate) fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let body = read_body(args.secret.file.as_deref())?;
    if fits(args, &args.secret.secret, &body)? {
        say(format!("{} the signature is valid for these {} bytes", paint(GOOD, "✓"), body.len()));
        return Ok(ExitCode::SUCCESS);
    }
    say(format!("{} the signature is not valid for these {} bytes", paint(BAD, "✗"), body.len()));
    if let Some(hint) = hint(args, &body)? {
        say(paint(DIM, format!("  {hint}")));
    }
    Ok(ExitCode::FAILURE)
}

fn fits(args: &VerifyArgs, secret: &str, body: &[u8]) -> anyhow::Result<bool> {
    if !args.signature.contains("v1,") {
        return Ok(kasko::verify(secret, body, &args.signature).is_ok());
    }
    let (Some(id), Some(timestamp)) = (&args.id, args.timestamp) else {
        bail!("a signature of Standard Webhooks is checked with --id and --timestamp as well");
    };
    let expected = standard::sign(&standard_key(secret)?, id, timestamp, body);
    Ok(args.signature.split(' ').any(|one| one == expected))
}

/// The usual reasons, tried out.
fn hint(args: &VerifyArgs, body: &[u8]) -> anyhow::Result<Option<&'static str>> {
    let secret = args.secret.secret.as_str();
    let trimmed = body.strip_suffix(b"\n").map(|body| body.strip_suffix(b"\r").unwrap_or(body));
    if let Some(trimmed) = trimmed
        && fits(args, secret, trimmed)?
    {
        return Ok(Some("it is valid without the line break at the end: the file has one that was not sent"));
    }
    if fits(args, secret.trim(), body)? {
        return Ok(Some("it is valid when the white space around the secret is left out"));
    }
    if let Some(bare) = secret.strip_prefix("whsec_")
        && !args.signature.contains("v1,")
        && fits(args, bare, body)?
    {
        return Ok(Some("it was made without \"whsec_\"; the key is the whole secret, \"whsec_\" included"));
    }
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(body)
        && let Ok(compact) = serde_json::to_vec(&value)
        && fits(args, secret, &compact)?
    {
        return Ok(Some(
            "it is valid for the same JSON without white space: sign and check the bytes as they were sent",
        ));
    }
    Ok(None)
}

fn standard_key(secret: &str) -> anyhow::Result<Vec<u8>> {
    standard::key_from_secret(secret).context("the secret is not one of Standard Webhooks")
}

fn read_body(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    let mut body = Vec::new();
    match file.filter(|path| *path != Path::new("-")) {
        Some(path) => {
            let opened =
                std::fs::File::open(path).with_context(|| format!("{} can't be read", path.display()))?;
            opened
                .take(MAX_BODY_BYTES + 1)
                .read_to_end(&mut body)
                .with_context(|| format!("{} can't be read", path.display()))?;
        }
        None => {
            std::io::stdin()
                .take(MAX_BODY_BYTES + 1)
                .read_to_end(&mut body)
                .context("standard input can't be read")?;
        }
    }
    if body.len() as u64 > MAX_BODY_BYTES {
        bail!("the body is longer than {MAX_BODY_BYTES} bytes");
    }
    Ok(body)
}
