//! Compiles the keywords of one subschema. What only annotates (titles, formats, encodings) is left out.

use std::collections::HashSet;
use std::sync::Arc;

use jsonschema::Uri;
use serde_json::{Map, Value};

use super::compiler::{CompileError, Compiler};
use super::evaluator::canonical_form;
use super::node::{Contains, Divisor, DynamicRef, Items, Keyword, Limit, Properties, Values};
use super::pattern::Pattern;
use crate::decimal::{Decimal, DecimalRef};
use crate::json_types::Types;
use crate::limits::MAX_DIVISOR_DIGITS;
use crate::payload;

/// One subschema that is being compiled.
struct Subschema<'c, 'r> {
    compiler: &'c mut Compiler<'r>,
    node: usize,
    fields: &'r Map<String, Value>,
    base: &'c Arc<Uri<String>>,
    keywords: Vec<Keyword>,
}

/// Compiles the keywords of `node`, in the order in which they are applied: what is cheap first, and `unevaluated…` last.
pub(super) fn compile<'r>(
    compiler: &mut Compiler<'r>,
    node: usize,
    fields: &'r Map<String, Value>,
    base: &Arc<Uri<String>>,
) -> Result<Vec<Keyword>, CompileError> {
    let mut subschema = Subschema { compiler, node, fields, base, keywords: Vec::new() };
    subschema.scalars()?;
    subschema.counts();
    subschema.objects()?;
    subschema.arrays();
    subschema.references()?;
    subschema.combinations();
    if let Some(node) = subschema.inner("unevaluatedProperties") {
        subschema.keywords.push(Keyword::UnevaluatedProperties(node));
    }
    if let Some(node) = subschema.inner("unevaluatedItems") {
        subschema.keywords.push(Keyword::UnevaluatedItems(node));
    }
    Ok(subschema.keywords)
}

impl<'r> Subschema<'_, 'r> {
    /// The node of a keyword that is a schema.
    fn inner(&mut self, keyword: &str) -> Option<usize> {
        let value = self.fields.get(keyword)?;
        Some(self.compiler.node_of(value, self.base))
    }

    /// The nodes of a keyword that is a list of schemas; none where it is not there.
    fn list(&mut self, keyword: &str) -> Option<Vec<usize>> {
        let values = self.fields.get(keyword)?.as_array()?;
        Some(values.iter().map(|value| self.compiler.node_of(value, self.base)).collect())
    }

    /// The nodes of a keyword that is an object of schemas, sorted by name.
    fn named(&mut self, keyword: &str) -> Option<Vec<(Box<str>, usize)>> {
        let values = self.fields.get(keyword)?.as_object()?;
        let node = |(name, value): (&'r String, &'r Value)| {
            (name.as_str().into(), self.compiler.node_of(value, self.base))
        };
        let mut named: Vec<(Box<str>, usize)> = values.iter().map(node).collect();
        named.sort();
        Some(named)
    }

    fn count(&self, keyword: &str) -> Option<u64> {
        count_of(self.fields.get(keyword)?)
    }

    fn pattern(text: &str) -> Result<Pattern, CompileError> {
        Pattern::compile(text).ok_or_else(|| CompileError::Pattern(text.to_owned()))
    }

    /// Types, values, numbers and texts.
    fn scalars(&mut self) -> Result<(), CompileError> {
        let types = match self.fields.get("type") {
            Some(Value::String(name)) => Types::of_name(name),
            Some(Value::Array(names)) => {
                let of_name = |name: &Value| name.as_str().and_then(Types::of_name);
                Some(Types(names.iter().filter_map(of_name).fold(0, |bits, types| bits | types.0)))
            }
            _ => None,
        };
        self.keywords.extend(types.map(Keyword::Type));
        if let Some(value) = self.fields.get("const") {
            self.keywords.push(Keyword::Enum(values_of(std::slice::from_ref(value))));
        }
        if let Some(Value::Array(values)) = self.fields.get("enum") {
            self.keywords.push(Keyword::Enum(values_of(values)));
        }
        for (keyword, limit) in [
            ("minimum", Limit::AtLeast),
            ("exclusiveMinimum", Limit::MoreThan),
            ("maximum", Limit::AtMost),
            ("exclusiveMaximum", Limit::LessThan),
        ] {
            if let Some(Value::Number(number)) = self.fields.get(keyword)
                && let Some(number) = DecimalRef::parse(&number.to_string())
            {
                if number.is_extreme() {
                    self.compiler.exceed(self.node, keyword, "must have an exponent of at most 18 digits");
                }
                self.keywords.push(Keyword::Limit(limit, Decimal::of(&number)));
            }
        }
        self.multiple_of();
        if let Some(Value::String(text)) = self.fields.get("pattern") {
            self.keywords.push(Keyword::Pattern(Self::pattern(text)?));
        }
        Ok(())
    }

    fn multiple_of(&mut self) {
        let Some(Value::Number(number)) = self.fields.get("multipleOf") else { return };
        let words = number.to_string();
        let divisor = DecimalRef::parse(&words).filter(|number| number.digit_count() <= MAX_DIVISOR_DIGITS);
        let divisor = divisor.and_then(|number| {
            let digits = number.digits().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0'));
            Some(Divisor::Small { digits, exponent: number.exponent()?, words: words.clone() })
        });
        if divisor.is_none() {
            let bound = format!("must have at most {MAX_DIVISOR_DIGITS} digits, and its exponent at most 18");
            self.compiler.exceed(self.node, "multipleOf", bound);
        }
        self.keywords.push(Keyword::MultipleOf(divisor.unwrap_or(Divisor::TooLong)));
    }

    fn counts(&mut self) {
        for (keyword, of) in [
            ("minLength", Keyword::MinLength as fn(u64) -> Keyword),
            ("maxLength", Keyword::MaxLength),
            ("minItems", Keyword::MinItems),
            ("maxItems", Keyword::MaxItems),
            ("minProperties", Keyword::MinProperties),
            ("maxProperties", Keyword::MaxProperties),
        ] {
            let keyword = self.count(keyword).map(of);
            self.keywords.extend(keyword);
        }
    }

    fn objects(&mut self) -> Result<(), CompileError> {
        if let Some(names) = self.fields.get("required").and_then(names_of) {
            self.keywords.push(Keyword::Required(names));
        }
        let mut dependent_names = Vec::new();
        let mut dependent_schemas = self.named("dependentSchemas").unwrap_or_default();
        // `dependencies` is the older word for both.
        for keyword in ["dependentRequired", "dependencies"] {
            for (name, value) in self.fields.get(keyword).and_then(Value::as_object).into_iter().flatten() {
                match names_of(value) {
                    Some(names) => dependent_names.push((name.as_str().into(), names)),
                    None => dependent_schemas
                        .push((name.as_str().into(), self.compiler.node_of(value, self.base))),
                }
            }
        }
        if !dependent_names.is_empty() {
            self.keywords.push(Keyword::DependentRequired(dependent_names));
        }
        let named = self.named("properties").unwrap_or_default();
        let mut patterns = Vec::new();
        for (text, node) in self.named("patternProperties").unwrap_or_default() {
            patterns.push((Self::pattern(&text)?, node));
        }
        let additional = self.inner("additionalProperties");
        if !named.is_empty() || !patterns.is_empty() || additional.is_some() {
            self.keywords.push(Keyword::Properties(Properties { named, patterns, additional }));
        }
        let names = self.inner("propertyNames").map(Keyword::PropertyNames);
        self.keywords.extend(names);
        if !dependent_schemas.is_empty() {
            self.keywords.push(Keyword::DependentSchemas(dependent_schemas));
        }
        Ok(())
    }

    fn arrays(&mut self) {
        let prefix = self.list("prefixItems").unwrap_or_default();
        let rest = self.inner("items");
        if !prefix.is_empty() || rest.is_some() {
            self.keywords.push(Keyword::Items(Items { prefix, rest }));
        }
        if let Some(node) = self.inner("contains") {
            let (min, max) = (self.count("minContains").unwrap_or(1), self.count("maxContains"));
            self.keywords.push(Keyword::Contains(Contains { node, min, max }));
        }
        if self.fields.get("uniqueItems") == Some(&Value::Bool(true)) {
            self.keywords.push(Keyword::UniqueItems);
        }
    }

    fn references(&mut self) -> Result<(), CompileError> {
        if let Some(reference) = self.fields.get("$ref").and_then(Value::as_str) {
            let target = self.compiler.target(reference, self.base)?;
            self.keywords.push(Keyword::Ref(target));
        }
        if let Some(reference) = self.fields.get("$dynamicRef").and_then(Value::as_str) {
            let otherwise = self.compiler.target(reference, self.base)?;
            self.compiler.note_dynamic(self.node, self.keywords.len(), reference, otherwise);
            self.keywords.push(Keyword::DynamicRef(DynamicRef { otherwise, by_resource: Arc::new([]) }));
        }
        Ok(())
    }

    fn combinations(&mut self) {
        for (keyword, of) in [
            ("allOf", Keyword::AllOf as fn(Vec<usize>) -> Keyword),
            ("anyOf", Keyword::AnyOf),
            ("oneOf", Keyword::OneOf),
        ] {
            let keyword = self.list(keyword).map(of);
            self.keywords.extend(keyword);
        }
        let not = self.inner("not").map(Keyword::Not);
        self.keywords.extend(not);
        if let Some(condition) = self.inner("if") {
            let (then, otherwise) = (self.inner("then"), self.inner("else"));
            self.keywords.push(Keyword::If { condition, then, otherwise });
        }
    }
}

/// A list of names; none where it is something else.
fn names_of(value: &Value) -> Option<Vec<Box<str>>> {
    Some(value.as_array()?.iter().filter_map(Value::as_str).map(Into::into).collect())
}

/// A number of characters, items or members. Beyond the largest one, that one.
fn count_of(value: &Value) -> Option<u64> {
    let Value::Number(number) = value else { return None };
    let text = number.to_string();
    let number = DecimalRef::parse(&text).filter(|number| number.is_integer() && !number.is_negative())?;
    let zeros = number.exponent().and_then(|exponent| u32::try_from(exponent).ok());
    let digits = number
        .digits()
        .try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    let factor = if number.is_zero() { Some(1) } else { zeros.and_then(|zeros| 10_u64.checked_pow(zeros)) };
    Some(digits.zip(factor).and_then(|(digits, factor)| digits.checked_mul(factor)).unwrap_or(u64::MAX))
}

/// The values of `enum` or `const`.
fn values_of(values: &[Value]) -> Values {
    const MAX_WORDS_BYTES: usize = 200;
    let mut words = String::new();
    let mut forms = HashSet::new();
    for value in values {
        let text = value.to_string();
        if let Ok(value) = payload::read_json(&text) {
            forms.insert(canonical_form(&value));
        }
        if words.ends_with('…') {
            continue;
        }
        let fits = words.len() + text.len() <= MAX_WORDS_BYTES;
        words.push_str(if words.is_empty() { "" } else { ", " });
        words.push_str(if fits { &text } else { "…" });
    }
    let longest = forms.iter().map(|form| form.len()).max().unwrap_or(0);
    Values { forms, longest, words }
}
