//! `host:port` and URL lists. Pure text: no name is looked up.

/// Splits `host:port`; the host may be empty (`:8261`) and an IPv6 host stands in brackets. `None` when it is neither.
pub(crate) fn split(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains([' ', '/', '\t']) || (host.contains(':') && !bracketed) {
        return None;
    }
    Some((host, port.parse().ok()?))
}

/// True when others can reach the host: neither empty nor a wildcard address.
pub(crate) fn is_concrete(host: &str) -> bool {
    !matches!(host, "" | "0.0.0.0" | "[::]" | "*")
}

/// Splits a comma list of `http(s)://host:port`; an absent scheme means `http`. Every element comes back with its scheme.
pub(crate) fn url_list(text: &str) -> Option<Vec<String>> {
    let urls: Option<Vec<String>> = list(text).map(url).collect();
    urls.filter(|urls| !urls.is_empty())
}

/// One URL, without path.
pub(crate) fn url(text: &str) -> Option<String> {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
        Some(_) => return None,
        None => ("http", text),
    };
    let authority = rest.strip_suffix('/').unwrap_or(rest);
    split(authority)?;
    Some(format!("{scheme}://{authority}"))
}

/// The host of a URL that [`url`] returned.
pub(crate) fn url_host(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    split(authority).map_or("", |(host, _)| host)
}

/// A master's client address: a scheme is allowed and dropped.
pub(crate) fn client_address(text: &str) -> Option<String> {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest).trim_end_matches('/');
    let (host, _) = split(bare)?;
    (!host.is_empty()).then(|| bare.to_owned())
}

/// The non-empty parts of a comma list, trimmed.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_split() {
        assert_eq!(split(":8261"), Some(("", 8261)));
        assert_eq!(split("[::1]:8261"), Some(("[::1]", 8261)));
        for text in ["", "8261", "h:", "h:70000", "::1:8261", "a b:1", "http://h:1"] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn url_lists_get_their_scheme() {
        assert_eq!(url_list("h1:1, https://h2:2/").unwrap(), ["http://h1:1", "https://h2:2"]);
        for text in ["", "ftp://h:1", "http://h", "http://h:1/path"] {
            assert_eq!(url_list(text), None, "{text}");
        }
        assert_eq!(url_host("https://h2:2"), "h2");
        assert_eq!(client_address("http://h:8261").as_deref(), Some("h:8261"));
        assert_eq!(client_address(":8261"), None);
    }
}
