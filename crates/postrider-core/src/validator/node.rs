//! A compiled schema's parts. Every subschema is a node; references are the nodes' numbers.

use std::collections::HashSet;
use std::sync::Arc;

use super::pattern::Pattern;
use crate::decimal::Decimal;
use crate::json_types::Types;

/// A subschema.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Nothing passes: the schema `false`.
    pub(super) is_false: bool,
    /// The resource that it belongs to: entered, it is part of the dynamic scope.
    pub(super) resource: usize,
    /// Cheap keywords first, and those that need to know what others have evaluated last.
    pub(super) keywords: Vec<Keyword>,
    /// Whether it asks what other keywords have evaluated.
    pub(super) asks_for_evaluated: bool,
    /// Whether its results are worth remembering: several references lead here, and it leads on by references.
    pub(super) is_remembered: bool,
}

/// A keyword, or several that belong together.
#[derive(Debug)]
pub(super) enum Keyword {
    Type(Types),
    Enum(Values),
    Limit(Limit, Decimal),
    MultipleOf(Divisor),
    MinLength(u64),
    MaxLength(u64),
    Pattern(Pattern),
    MinItems(u64),
    MaxItems(u64),
    UniqueItems,
    MinProperties(u64),
    MaxProperties(u64),
    Required(Vec<Box<str>>),
    DependentRequired(Vec<(Box<str>, Vec<Box<str>>)>),
    Properties(Properties),
    PropertyNames(usize),
    Items(Items),
    Contains(Contains),
    DependentSchemas(Vec<(Box<str>, usize)>),
    Ref(usize),
    DynamicRef(DynamicRef),
    AllOf(Vec<usize>),
    AnyOf(Vec<usize>),
    OneOf(Vec<usize>),
    Not(usize),
    If { condition: usize, then: Option<usize>, otherwise: Option<usize> },
    UnevaluatedProperties(usize),
    UnevaluatedItems(usize),
}

/// The values of `enum` or `const`, found by their canonical forms.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) forms: HashSet<Box<[u8]>>,
    /// The longest of them.
    pub(super) longest: usize,
    /// The same as a person reads them.
    pub(super) words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    AtLeast,
    MoreThan,
    AtMost,
    LessThan,
}

/// What `multipleOf` divides by.
#[derive(Debug)]
pub(super) enum Divisor {
    /// `digits × 10^exponent`.
    Small { digits: u64, exponent: i64, words: String },
    /// One with more digits than a schema may have now.
    TooLong,
}

/// `properties`, `patternProperties` and `additionalProperties`.
#[derive(Debug, Default)]
pub(super) struct Properties {
    /// Sorted by name.
    pub(super) named: Vec<(Box<str>, usize)>,
    pub(super) patterns: Vec<(Pattern, usize)>,
    pub(super) additional: Option<usize>,
}

/// `prefixItems` and `items`.
#[derive(Debug, Default)]
pub(super) struct Items {
    pub(super) prefix: Vec<usize>,
    pub(super) rest: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Contains {
    pub(super) node: usize,
    pub(super) min: u64,
    pub(super) max: Option<u64>,
}

#[derive(Debug)]
pub(super) struct DynamicRef {
    /// Where it leads if nothing in the dynamic scope says otherwise.
    pub(super) otherwise: usize,
    /// The resources that have a dynamic anchor of its name, sorted. Empty where it is like any reference.
    pub(super) by_resource: Arc<[(usize, usize)]>,
}
