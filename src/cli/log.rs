//! `imk log IMAGE`: the builds that are remembered, newest first.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::args::{Global, LogArgs};
use super::failure::{Failure, sync_error};
use super::{VERBS, open, out, words};
use crate::engine::Cancel;

pub fn run(global: &Global, args: &LogArgs) -> Result<(), Failure> {
    let mut session = open::session(global, false, &Cancel::default())?;
    let targets = session.choose(&args.targets.words).map_err(|error| sync_error(error, &session, VERBS))?;
    let records = session.history(&targets);
    if args.json {
        out::line(format_args!("{:#}", json!({ "builds": records })));
        return Ok(());
    }
    let width = records.iter().map(|record| record.image.len()).max().unwrap_or_default();
    for record in &records {
        let seconds = i64::try_from(record.at).unwrap_or(i64::MAX);
        let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
        let at = at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S");
        let id = record.id.rsplit(':').next().unwrap_or_default();
        let id = &id[..id.len().min(12)];
        let took = words::duration(std::time::Duration::from_millis(record.took_ms));
        let why = if record.reasons.is_empty() {
            "an earlier result served again".to_owned()
        } else {
            words::first_reason(&record.reasons)
        };
        out::line(format_args!("{at}  {:<width$}  {id}  {took:>6}  {why}", record.image));
    }
    Ok(())
}
