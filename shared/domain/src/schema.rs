//! Shapes of the OpenAPI document that serde's attributes give a type and a derive cannot tell: texts of a strict form, objects whose
//! fields come from several types, variants told apart by a field.
//!
//! A derive writes flattened parts as `allOf`, and a closed object inside of one refuses the fields of the others. Here they become one
//! object, which is what is read.

use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, Object, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::openapi::{Discriminator, KnownFormat, Ref, RefOr, SchemaFormat};

/// Types that are written as a text: the pattern is as strict as `FromStr`.
macro_rules! text_form {
    ($type:ty, $name:expr, $description:expr, $pattern:expr, $example:expr) => {
        impl utoipa::PartialSchema for $type {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::schema::text($description, $pattern, $example)
            }
        }

        impl utoipa::ToSchema for $type {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}
pub(crate) use text_form;

/// A text that matches `pattern` (ECMA 262, anchored).
pub fn text(description: &str, pattern: &str, example: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .examples([example]);
    RefOr::T(text.build().into())
}

/// A list of `[x, y]` of one of the `lengths`, each coordinate at most `farthest` from 0.
pub(crate) fn points(description: &str, lengths: &[usize], farthest: f64) -> RefOr<Schema> {
    let number =
        ObjectBuilder::new().schema_type(Type::Number).format(Some(SchemaFormat::KnownFormat(KnownFormat::Double)));
    let number = number.minimum(Some(-farthest)).maximum(Some(farthest));
    let point =
        RefOr::<Schema>::T(ArrayBuilder::new().items(number).min_items(Some(2)).max_items(Some(2)).build().into());
    let list = |n| ArrayBuilder::new().items(point.clone()).min_items(Some(n)).max_items(Some(n));
    let choice = lengths.iter().fold(OneOfBuilder::new(), |choice, n| choice.item(list(*n)));
    RefOr::T(choice.description(Some(description)).build().into())
}

/// The fields of all `parts` in one object, which knows no others. Parts that are not plain objects are a defect: a test of every
/// type that uses this holds what is written against the schema.
pub(crate) fn merged(parts: impl IntoIterator<Item = RefOr<Schema>>) -> Object {
    let mut whole = Object::new();
    for part in parts {
        if let RefOr::T(Schema::Object(part)) = part {
            whole.description = whole.description.or(part.description);
            whole.properties.extend(part.properties);
            whole.required.extend(part.required);
        }
    }
    whole.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
    whole
}

/// The object with the field `tag` in front, which must be `name`.
pub(crate) fn tagged(tag: &str, name: &str, object: Object) -> Object {
    let kind = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([name]));
    let mut front = ObjectBuilder::new().property(tag, kind).required(tag).build();
    front.description = object.description;
    front.properties.extend(object.properties);
    front.required.extend(object.required);
    front.additional_properties = object.additional_properties;
    front
}

/// One of the named schemas, told apart by `tag`.
pub(crate) fn one_of(description: &str, tag: &str, variants: &[(&str, &str)]) -> RefOr<Schema> {
    let to = |name: &str| Ref::from_schema_name(name);
    let mapping = variants.iter().map(|(value, name)| ((*value).to_owned(), to(name).ref_location));
    let discriminator = Discriminator::with_mapping(tag, mapping);
    let choice = variants.iter().fold(OneOfBuilder::new(), |choice, (_, name)| choice.item(to(name)));
    RefOr::T(choice.discriminator(Some(discriminator)).description(Some(description)).build().into())
}
