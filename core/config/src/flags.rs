//! Command lines as DM's programs take them: long options with one dash (`-config x`, `-config=x`).

/// Turns `-name` into `--name` for every name in `known`, so that an ordinary parser can take over. Everything else stays:
/// short options, values, and all that follows `--`. The first element is the program's name and is not touched.
///
/// A value that looks like a known option (`-config -L`) is taken for the option, as in DM.
pub fn normalize_args(args: Vec<String>, known: &[&str]) -> Vec<String> {
    let mut only_values = false;
    let normalize = |(index, arg): (usize, String)| {
        only_values |= arg == "--";
        if index == 0 || only_values || arg.starts_with("--") {
            return arg;
        }
        let Some(rest) = arg.strip_prefix('-') else { return arg };
        let name = rest.split_once('=').map_or(rest, |(name, _)| name);
        // One letter is a short option, whatever the long ones are.
        if name.chars().count() > 1 && known.contains(&name) { format!("--{rest}") } else { arg }
    };
    args.into_iter().enumerate().map(normalize).collect()
}

/// A value from the command line wins over one from the file.
pub(crate) fn overlay<T>(base: &mut Option<T>, over: Option<T>) {
    if over.is_some() {
        *base = over;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalize(line: &str) -> String {
        let args = line.split(' ').map(str::to_owned).collect();
        normalize_args(args, &["config", "print-sample-config", "name", "V"]).join(" ")
    }

    #[test]
    fn single_dash_long_options_get_their_second_dash() {
        assert_eq!(normalize("dm-master -config x -name=-n"), "dm-master --config x --name=-n");
        assert_eq!(normalize("dm-master -print-sample-config"), "dm-master --print-sample-config");
    }

    #[test]
    fn everything_else_stays() {
        for line in [
            "dm-master --config x -V -L debug -",
            "dm-master -unknown x",
            "-config",
            "dmctl start-task -- -config",
            "dmctl --config=-config",
        ] {
            assert_eq!(normalize(line), line);
        }
    }
}
