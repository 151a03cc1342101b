//! The style sheet's colours, each pair that stands on a page: text is readable and what it is drawn with can be told
//! from its ground (WCAG 2.2, 1.4.3 and 1.4.11 AA), in both themes.

use std::collections::HashMap;

use crate::branding::{READABLE, contrast};

/// The contrast that lines of controls and parts of drawings need.
const TOLD_APART: f64 = 3.0;

/// What text stands on.
const GROUNDS: [&str; 8] =
    ["ground", "raised", "sunk", "hover", "off-ground", "good-ground", "wait-ground", "bad-ground"];
/// Text, and what each stands on; the common ones stand on every ground.
const TEXTS: [(&str, &[&str]); 12] = [
    ("text", &GROUNDS),
    ("soft", &GROUNDS),
    ("accent", &GROUNDS),
    ("on-accent", &["accent"]),
    ("good", &["good-ground", "raised", "ground", "hover"]),
    ("bad", &["bad-ground", "raised", "ground", "hover"]),
    ("wait", &["wait-ground"]),
    ("off", &["off-ground"]),
    ("live", &["live-ground"]),
    ("key", &["sunk"]),
    ("string", &["sunk"]),
    ("number", &["sunk"]),
];
/// What is drawn: lines around controls, bars, phases, the ring around what has the focus.
const DRAWN: [(&str, &[&str]); 10] = [
    ("line-strong", &["ground", "raised", "sunk", "hover"]),
    ("accent", &GROUNDS),
    ("bar-good", &["raised", "ground", "hover"]),
    ("bar-bad", &["raised", "ground", "hover"]),
    ("wait", &["ground"]),
    ("dns", &["sunk", "ground"]),
    ("connect", &["sunk", "ground"]),
    ("tls", &["sunk", "ground"]),
    ("first", &["sunk", "ground"]),
    ("rest", &["sunk", "ground"]),
];

/// The colours of each `:root` block of the style sheet, in its order.
fn themes() -> Vec<HashMap<&'static str, [u8; 3]>> {
    let style = include_str!("../../assets/postrider.css");
    let blocks = style.split(":root").skip(1).map(|rest| rest.split_once('{').map_or("", |(_, block)| block));
    let colours = |block: &'static str| {
        let block = block.split_once('}').map_or(block, |(inside, _)| inside);
        let pairs = block.split(';').filter_map(|line| line.trim().strip_prefix("--")?.split_once(":#"));
        pairs.map(|(name, digits)| (name, colour(digits))).collect()
    };
    blocks.map(colours).collect()
}

fn colour(digits: &str) -> [u8; 3] {
    let whole: String = if digits.len() == 3 {
        digits.chars().flat_map(|digit| [digit, digit]).collect()
    } else {
        digits.to_owned()
    };
    let number = u32::from_str_radix(&whole, 16).expect("a colour has hex digits");
    let [_, red, green, blue] = number.to_be_bytes();
    [red, green, blue]
}

#[test]
fn every_pair_of_colours_can_be_read_or_told_apart_in_both_themes() {
    let themes = themes();
    assert_eq!(themes.len(), 3, "light, dark by the system, dark by choice");
    assert_eq!(themes[1], themes[2], "dark is dark, however it was chosen");
    for (theme, colours) in [("light", &themes[0]), ("dark", &themes[1])] {
        for (needed, pairs) in [(READABLE, &TEXTS[..]), (TOLD_APART, &DRAWN)] {
            for (fore, grounds) in pairs {
                for ground in *grounds {
                    let found = contrast(colours[fore], colours[ground]);
                    assert!(found >= needed, "{fore} on {ground} is {found:.2}:1 in {theme}, not {needed}:1");
                }
            }
        }
    }
}

#[test]
fn every_colour_of_the_style_sheet_is_a_variable_of_both_themes() {
    let themes = themes();
    let names = |theme: &HashMap<&'static str, [u8; 3]>| {
        let mut names: Vec<_> = theme.keys().copied().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names(&themes[0]), names(&themes[1]));
    let style = include_str!("../../assets/postrider.css");
    let (_, rules) = style.split_once("*,*::before").expect("the rules follow the colours");
    for rest in rules.split('#').skip(1) {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let is_value = rest[digits..].starts_with([';', '}', ' ', '/']);
        assert!(!(is_value && matches!(digits, 3 | 6)), "a rule has a colour of its own: #{rest:.20}");
    }
}
