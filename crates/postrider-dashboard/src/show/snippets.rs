//! How to verify a request in seven languages. The header's name is the installation's.

/// A language with its code.
pub(crate) struct Snippet {
    pub(crate) language: &'static str,
    pub(crate) code: String,
}

/// All of them; `prefix` is what the contract's headers begin with.
pub(crate) fn all(prefix: &str) -> Vec<Snippet> {
    let header = format!("{prefix}Signature");
    let php = format!("HTTP_{}", header.to_uppercase().replace('-', "_"));
    let fill = |code: &str| {
        code.replace("HEADER_PHP", &php)
            .replace("HEADER_LOWER", &header.to_lowercase())
            .replace("HEADER", &header)
    };
    TEMPLATES.iter().map(|(language, code)| Snippet { language, code: fill(code) }).collect()
}

const TEMPLATES: [(&str, &str); 7] = [
    ("PHP", include_str!("snippets/php.txt")),
    ("Node", include_str!("snippets/node.txt")),
    ("Python", include_str!("snippets/python.txt")),
    ("Go", include_str!("snippets/go.txt")),
    ("Java", include_str!("snippets/java.txt")),
    ("Ruby", include_str!("snippets/ruby.txt")),
    ("Rust", include_str!("snippets/rust.txt")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_snippet_names_the_installation_s_header() {
        for Snippet { language, code } in all("X-Acme-") {
            let known = ["X-Acme-Signature", "x-acme-signature", "HTTP_X_ACME_SIGNATURE"];
            assert!(known.iter().any(|name| code.contains(name)), "{language}: {code}");
            assert!(!code.contains("HEADER"), "{language}");
        }
    }
}
