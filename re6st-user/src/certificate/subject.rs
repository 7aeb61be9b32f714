//! Subjects of certificates: what users say about themselves, and the two fields that are the registry's.

use rcgen::{DistinguishedName, DnType, DnValue};
use thiserror::Error;
use x509_parser::{
    asn1_rs::Tag,
    oid_registry::Oid,
    x509::{AttributeTypeAndValue, X509Name},
};

use super::{
    network::SubjectSerial,
    node_prefix::{NodePrefix, NodePrefixError},
};

/// Fields of a subject, at most.
const MAX_FIELDS: usize = 16;
/// Octets of a field's value, at most.
const MAX_VALUE: usize = 255;
/// The largest second arc below 2: DER adds 80 to it.
const MAX_SECOND_ARC: u64 = u64::MAX - 80;

/// An attribute type by its object identifier (X.520).
type Attribute = &'static [u64];
pub(super) const COMMON_NAME: Attribute = &[2, 5, 4, 3];
pub(super) const SERIAL_NUMBER: Attribute = &[2, 5, 4, 5];
pub(super) const DN_QUALIFIER: Attribute = &[2, 5, 4, 46];
pub(super) const EMAIL_ADDRESS: Attribute = &[1, 2, 840, 113_549, 1, 9, 1];
const COUNTRY: Attribute = &[2, 5, 4, 6];
const DOMAIN_COMPONENT: Attribute = &[0, 9, 2342, 19_200_300, 100, 1, 25];

/// What openssl calls attributes, short and long.
const NAMES: [(&str, &str, Attribute); 15] = [
    ("C", "countryName", COUNTRY),
    ("ST", "stateOrProvinceName", &[2, 5, 4, 8]),
    ("L", "localityName", &[2, 5, 4, 7]),
    ("O", "organizationName", &[2, 5, 4, 10]),
    ("OU", "organizationalUnitName", &[2, 5, 4, 11]),
    ("GN", "givenName", &[2, 5, 4, 42]),
    ("SN", "surname", &[2, 5, 4, 4]),
    ("title", "title", &[2, 5, 4, 12]),
    ("description", "description", &[2, 5, 4, 13]),
    ("street", "streetAddress", &[2, 5, 4, 9]),
    ("postalCode", "postalCode", &[2, 5, 4, 17]),
    ("name", "name", &[2, 5, 4, 41]),
    ("DC", "domainComponent", DOMAIN_COMPONENT),
    ("UID", "userId", &[0, 9, 2342, 19_200_300, 100, 1, 1]),
    ("emailAddress", "emailAddress", EMAIL_ADDRESS),
];

/// Why a subject is not accepted.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SubjectError {
    /// Too many fields.
    #[error("more than {limit} fields", limit = MAX_FIELDS)]
    TooManyFields,
    /// A field twice.
    #[error("the field {0} occurs twice")]
    Duplicate(String),
    /// A field that does not exist.
    #[error("there is no field {0}; known are {known}", known = known_fields())]
    UnknownField(String),
    /// A field that the registry fills in.
    #[error("the field {0} is the registry's to set")]
    Reserved(&'static str),
    /// A value that is empty, too long, or has characters that its field cannot have.
    #[error(
        "the field {0} is empty, longer than 255 octets, or has characters that it cannot have"
    )]
    Value(String),
    /// A field in a form that is not read.
    #[error("a field is not plain text")]
    Form,
    /// No CommonName.
    #[error("no CommonName")]
    NoCommonName,
    /// A CommonName that is not a node's.
    #[error("{0}")]
    CommonName(#[from] NodePrefixError),
    /// No decimal number in the attribute `serialNumber`.
    #[error("the attribute serialNumber is missing or not a decimal number of 32 bits")]
    SubjectSerial,
}

/// What a user says about a node, or an operator about an authority: fields in order, each once. CommonName and
/// serialNumber are the registry's.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Subject {
    fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Field {
    attribute: Vec<u64>,
    value: String,
}

impl Subject {
    /// Adds a field by openssl's short or long name (`O`, `organizationName`).
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), SubjectError> {
        for (reserved, names) in [
            ("CN", ["CN", "commonName"]),
            ("serialNumber", ["serial", "serialNumber"]),
        ] {
            if names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(SubjectError::Reserved(reserved));
            }
        }
        let known = NAMES.iter().find(|(short, long, _)| {
            short.eq_ignore_ascii_case(name) || long.eq_ignore_ascii_case(name)
        });
        let (_, _, attribute) = known.ok_or_else(|| SubjectError::UnknownField(name.to_owned()))?;
        self.push_attribute(attribute.to_vec(), value)
    }

    fn push_attribute(&mut self, attribute: Vec<u64>, value: &str) -> Result<(), SubjectError> {
        if self.fields.len() >= MAX_FIELDS {
            return Err(SubjectError::TooManyFields);
        }
        if self.fields.iter().any(|field| field.attribute == attribute) {
            return Err(SubjectError::Duplicate(name_of(&attribute)));
        }
        let field = Field {
            attribute,
            value: value.to_owned(),
        };
        field.encoded()?;
        self.fields.push(field);
        Ok(())
    }

    /// The fields in order: openssl's short name (or the object identifier) and the value.
    pub fn fields(&self) -> impl Iterator<Item = (String, &str)> {
        self.fields
            .iter()
            .map(|field| (name_of(&field.attribute), field.value.as_str()))
    }

    /// All but the registry's fields.
    pub(super) fn from_parsed(name: &X509Name<'_>) -> Result<Self, SubjectError> {
        let mut subject = Self::default();
        for attribute in name.iter_attributes() {
            let arcs = arcs(attribute.attr_type())?;
            if arcs != COMMON_NAME && arcs != SERIAL_NUMBER {
                let value = attribute.as_str().map_err(|_| SubjectError::Form)?;
                subject.push_attribute(arcs, value)?;
            }
        }
        Ok(subject)
    }

    pub(super) fn to_name(&self) -> Result<DistinguishedName, SubjectError> {
        let mut name = DistinguishedName::new();
        for field in &self.fields {
            name.push(DnType::from_oid(&field.attribute), field.encoded()?);
        }
        Ok(name)
    }

    /// The subject of a node: the user's fields, `serialNumber`, CommonName, in re6stnet's order and encodings.
    pub(super) fn to_node_name(
        &self,
        serial: SubjectSerial,
        prefix: &NodePrefix,
    ) -> Result<DistinguishedName, SubjectError> {
        let mut name = self.to_name()?;
        name.push(
            DnType::from_oid(SERIAL_NUMBER),
            printable(&serial.to_string()).ok_or(SubjectError::SubjectSerial)?,
        );
        name.push(DnType::CommonName, prefix.common_name());
        Ok(name)
    }
}

impl Field {
    /// As the attribute has to be encoded (RFC 5280, appendix A.1).
    fn encoded(&self) -> Result<DnValue, SubjectError> {
        let value = self.value.as_str();
        let plain =
            !value.is_empty() && value.len() <= MAX_VALUE && !value.chars().any(char::is_control);
        let encoded = match self.attribute.as_slice() {
            // two letters of ISO 3166
            COUNTRY if value.len() != 2 || !value.bytes().all(|b| b.is_ascii_alphabetic()) => None,
            COUNTRY | DN_QUALIFIER => printable(value),
            EMAIL_ADDRESS | DOMAIN_COMPONENT => ia5(value),
            _ => Some(DnValue::Utf8String(value.to_owned())),
        };
        encoded
            .filter(|_| plain)
            .ok_or_else(|| SubjectError::Value(name_of(&self.attribute)))
    }
}

/// What the registry put into a node's subject.
pub(super) fn registry_fields(
    name: &X509Name<'_>,
) -> Result<(NodePrefix, SubjectSerial), SubjectError> {
    let common_name = single(name, COMMON_NAME)?.ok_or(SubjectError::NoCommonName)?;
    let prefix = NodePrefix::from_common_name(&common_name)?;
    let serial = single(name, SERIAL_NUMBER)?.ok_or(SubjectError::SubjectSerial)?;
    let number: u32 = serial.parse().map_err(|_| SubjectError::SubjectSerial)?;
    // one form only: no sign, no leading zeros
    if number.to_string() != serial {
        return Err(SubjectError::SubjectSerial);
    }
    Ok((prefix, SubjectSerial(number)))
}

/// The value of an attribute that may occur once.
pub(super) fn single(name: &X509Name<'_>, wanted: &[u64]) -> Result<Option<String>, SubjectError> {
    let mut found = None;
    for attribute in name.iter_attributes() {
        if arcs(attribute.attr_type())? == wanted {
            let value = attribute.as_str().map_err(|_| SubjectError::Form)?;
            if found.replace(value.to_owned()).is_some() {
                return Err(SubjectError::Duplicate(name_of(wanted)));
            }
        }
    }
    Ok(found)
}

/// A name as it stands, encodings included; None if it has a form we do not write.
pub(super) fn exact_name(name: &X509Name<'_>) -> Option<DistinguishedName> {
    let mut exact = DistinguishedName::new();
    for attribute in name.iter_attributes() {
        let kind = DnType::from_oid(&arcs(attribute.attr_type()).ok()?);
        exact.push(kind, exact_value(attribute)?);
    }
    Some(exact)
}

fn exact_value(attribute: &AttributeTypeAndValue<'_>) -> Option<DnValue> {
    let text = attribute.as_str().ok()?;
    match attribute.attr_value().tag() {
        Tag::Utf8String => Some(DnValue::Utf8String(text.to_owned())),
        Tag::PrintableString => printable(text),
        Tag::Ia5String => ia5(text),
        _ => None,
    }
}

/// As PrintableString. The question mark is one of its characters (X.680, section 41.4), but the library that writes
/// certificates panics on it.
pub(super) fn printable(text: &str) -> Option<DnValue> {
    rcgen::string::PrintableString::try_from(text)
        .ok()
        .filter(|_| !text.contains('?'))
        .map(DnValue::PrintableString)
}

fn ia5(text: &str) -> Option<DnValue> {
    rcgen::string::Ia5String::try_from(text)
        .ok()
        .map(DnValue::Ia5String)
}

fn arcs(identifier: &Oid<'_>) -> Result<Vec<u64>, SubjectError> {
    let arcs: Vec<u64> = identifier.iter().ok_or(SubjectError::Form)?.collect();
    // what we write again has at least two, the first ones within X.660's bounds and together in 64 bits
    match arcs.as_slice() {
        [0..=1, 0..=39, ..] | [2, 0..=MAX_SECOND_ARC, ..] if (2..=20).contains(&arcs.len()) => {
            Ok(arcs)
        }
        _ => Err(SubjectError::Form),
    }
}

/// The short names of all fields, for people.
fn known_fields() -> String {
    NAMES.map(|(short, _, _)| short).join(", ")
}

fn name_of(attribute: &[u64]) -> String {
    match attribute {
        COMMON_NAME => return "CN".to_owned(),
        SERIAL_NUMBER => return "serialNumber".to_owned(),
        DN_QUALIFIER => return "dnQualifier".to_owned(),
        _ => {}
    }
    let known = NAMES.iter().find(|(_, _, known)| *known == attribute);
    known.map_or_else(
        || {
            let arcs: Vec<String> = attribute.iter().map(u64::to_string).collect();
            arcs.join(".")
        },
        |(short, _, _)| (*short).to_owned(),
    )
}
