//! Logs, with DM's options and DM's text form: `[time] [LEVEL] [file:line] ["message"] [key=value]…`, or JSON lines.
//!
//! Rotation: `day` (default) and `hour` start a new file with a date suffix; anything else never rotates.

use std::{fmt, io, path::Path};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_appender::rolling;
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext, FormattedFields,
        format::{FormatEvent, FormatFields, Writer},
    },
    layer::SubscriberExt,
    registry::LookupSpan,
    util::SubscriberInitExt,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogOptions {
    /// `debug`, `info`, `warn`, `error` or `fatal`, as DM accepts them.
    pub level: String,
    /// Empty: standard error.
    pub file: String,
    /// `text` or `json`.
    pub format: String,
    /// `day` or `hour`.
    pub rotate: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { level: "info".into(), file: String::new(), format: "text".into(), rotate: "day".into() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("log level `{level}` is not one of debug, info, warn, error, fatal")]
    Level { level: String },
    #[error("cannot open log file `{file}`")]
    File {
        file: String,
        #[source]
        source: io::Error,
    },
    #[error("logging was started twice")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts logging for the process; call once. Panics of tasks are logged as errors, too.
///
/// # Errors
/// Unknown level, a file that cannot be opened.
pub fn start(options: &LogOptions) -> Result<(), Error> {
    let filter = filter(&options.level)?;
    let writer = writer(options)?;
    let json = options.format.eq_ignore_ascii_case("json");
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry.with(tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(writer)).try_init()
    } else {
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).event_format(DmText).with_writer(writer);
        registry.with(layer).try_init()
    };
    started.map_err(Error::Twice)?;
    log_panics();
    Ok(())
}

/// Our own crates at the wanted level; what we stand on only when it matters.
fn filter(level: &str) -> Result<EnvFilter, Error> {
    let level = match level.to_ascii_lowercase().as_str() {
        "debug" => "debug",
        "info" | "" => "info",
        "warn" | "warning" => "warn",
        "error" | "fatal" => "error",
        _ => return Err(Error::Level { level: level.to_owned() }),
    };
    let quiet = "openraft=error,h2=warn,hyper=warn,tonic=warn,tower=warn,mysql_async=off,rustls=warn";
    EnvFilter::try_new(format!("{level},{quiet}")).map_err(|_| Error::Level { level: level.to_owned() })
}

fn writer(options: &LogOptions) -> Result<tracing_subscriber::fmt::writer::BoxMakeWriter, Error> {
    use tracing_subscriber::fmt::writer::BoxMakeWriter;
    if options.file.is_empty() {
        return Ok(BoxMakeWriter::new(io::stderr));
    }
    let path = Path::new(&options.file);
    let fail = |source| Error::File { file: options.file.clone(), source };
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(folder).map_err(fail)?;
    let name = path.file_name().ok_or_else(|| fail(io::ErrorKind::InvalidInput.into()))?;
    // The current file has the name the user gave: people and tools tail it.
    std::fs::OpenOptions::new().create(true).append(true).open(path).map_err(fail)?;
    Ok(match options.rotate.as_str() {
        "hour" => {
            BoxMakeWriter::new(std::sync::Mutex::new(Rotating::new(folder.join(name), Period::Hour).map_err(fail)?))
        }
        "day" => {
            BoxMakeWriter::new(std::sync::Mutex::new(Rotating::new(folder.join(name), Period::Day).map_err(fail)?))
        }
        _ => BoxMakeWriter::new(rolling::never(folder, name)),
    })
}

#[derive(Debug, Clone, Copy)]
enum Period {
    Day,
    Hour,
}

impl Period {
    fn stamp(self) -> String {
        let now = jiff::Zoned::now();
        match self {
            Self::Day => now.strftime("%Y-%m-%d").to_string(),
            Self::Hour => now.strftime("%Y-%m-%dT%H").to_string(),
        }
    }
}

/// Appends to the named file; at the end of a period the file is renamed with its date and a new one begins.
#[derive(Debug)]
struct Rotating {
    path: std::path::PathBuf,
    period: Period,
    stamp: String,
    file: std::fs::File,
}

impl Rotating {
    fn new(path: std::path::PathBuf, period: Period) -> io::Result<Self> {
        let file = Self::open(&path)?;
        Ok(Self { path, period, stamp: period.stamp(), file })
    }

    fn open(path: &Path) -> io::Result<std::fs::File> {
        std::fs::OpenOptions::new().create(true).append(true).open(path)
    }

    fn rotate_if_due(&mut self) -> io::Result<()> {
        let stamp = self.period.stamp();
        if stamp == self.stamp {
            return Ok(());
        }
        let mut old = self.path.clone().into_os_string();
        old.push(format!(".{}", self.stamp));
        std::fs::rename(&self.path, old)?;
        self.file = Self::open(&self.path)?;
        self.stamp = stamp;
        Ok(())
    }
}

impl io::Write for Rotating {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.rotate_if_due()?;
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let text = payload
            .downcast_ref::<&str>()
            .map(|s| (*s).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        tracing::error!(%place, "panic: {text}");
    }));
}

/// DM's text form of a log line.
#[derive(Debug)]
struct DmText;

impl<S, N> FormatEvent<S, N> for DmText
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut w: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        let file = meta.file().and_then(|f| Path::new(f).file_name()).and_then(|f| f.to_str()).unwrap_or("unknown");
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(
            w,
            "[{}] [{}] [{}:{}] [{:?}]",
            jiff::Zoned::now().strftime("%Y/%m/%d %H:%M:%S%.3f %:z"),
            meta.level(),
            file,
            meta.line().unwrap_or(0),
            fields.message,
        )?;
        w.write_str(&fields.rest)?;
        if let Some(scope) = ctx.event_scope() {
            for span in scope.from_root() {
                let extensions = span.extensions();
                match extensions.get::<FormattedFields<N>>() {
                    Some(f) if !f.fields.is_empty() => write!(w, " [{}={{{}}}]", span.name(), f.fields)?,
                    Some(_) | None => write!(w, " [{}]", span.name())?,
                }
            }
        }
        writeln!(w)
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn add(&mut self, name: &str, text: String) {
        use fmt::Write;
        if name == "message" {
            self.message = text;
            return;
        }
        let plain = !text.is_empty() && !text.contains([' ', '"', '[', ']', '=', '\n']);
        // writing to a String cannot fail
        let _ = if plain { write!(self.rest, " [{name}={text}]") } else { write!(self.rest, " [{name}={text:?}]") };
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_level_is_refused() {
        assert!(matches!(filter("loud"), Err(Error::Level { level }) if level == "loud"));
        for level in ["debug", "INFO", "warn", "error", "fatal", ""] {
            assert!(filter(level).is_ok(), "{level}");
        }
    }

    #[test]
    fn text_lines_look_like_dm() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dm.log");
        let options = LogOptions { file: file.display().to_string(), ..LogOptions::default() };
        let writer = writer(&options).unwrap();
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).event_format(DmText).with_writer(writer);
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(task = "shop", note = "two words", "checkpoint saved");
        });
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains("[INFO] [telemetry.rs:"), "{text}");
        assert!(text.contains(r#"["checkpoint saved"] [task=shop] [note="two words"]"#), "{text}");
    }
}
