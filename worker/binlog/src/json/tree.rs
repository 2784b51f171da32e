//! A document taken apart, to be changed. Texts still borrow from the document.

use std::borrow::Cow;

use super::{
    MAX_DEPTH,
    node::{Budget, Node, Scalar},
    text::{write_scalar, write_string},
};
use crate::Error;

#[derive(Debug, Clone)]
pub(super) enum Tree<'a> {
    Scalar(Scalar<'a>),
    Array(Vec<Tree<'a>>),
    /// In the stored order.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
}

impl<'a> Tree<'a> {
    pub(super) fn read(node: Node<'a>, budget: &mut Budget, depth: usize) -> Result<Self, Error> {
        budget.node()?;
        let container = match node {
            Node::Scalar(scalar) => {
                budget.bytes(scalar.data_bytes())?;
                return Ok(Self::Scalar(scalar));
            }
            Node::Container(container) => container,
        };
        if depth >= MAX_DEPTH {
            return Err(Error::Corrupt { what: "a JSON document is nested too deeply" });
        }
        if container.is_object {
            let mut members = Vec::new();
            for index in 0..container.len {
                let key = container.key(index)?;
                budget.bytes(key.len())?;
                members.push((Cow::Borrowed(key), Self::read(container.value(index)?, budget, depth + 1)?));
            }
            Ok(Self::Object(members))
        } else {
            let mut elements = Vec::new();
            for index in 0..container.len {
                elements.push(Self::read(container.value(index)?, budget, depth + 1)?);
            }
            Ok(Self::Array(elements))
        }
    }

    /// As [`super::text::write_node`] prints it.
    pub(super) fn write(&self, out: &mut String) -> Result<(), Error> {
        match self {
            Self::Scalar(scalar) => write_scalar(*scalar, out)?,
            Self::Array(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    element.write(out)?;
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push_str(", ");
                    }
                    write_string(key, out);
                    out.push_str(": ");
                    value.write(out)?;
                }
                out.push('}');
            }
        }
        Ok(())
    }
}
