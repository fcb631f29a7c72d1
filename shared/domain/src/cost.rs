//! What the cost of a task depends on: a name under which costs are learnt, and how many units of it a task has.

use crate::edit::EditSpec;
use crate::inversion::Inversion;
use crate::precision::Precision;

/// The kind of work and its amount. Cost in GPU milliseconds is learnt per unit, for each pack and class of workers.
#[derive(Clone, PartialEq, Debug)]
pub struct Cost {
    /// What is alike in cost per unit, for example `clip-nce/4` (four views a step) or `clip-nce/4 bf16`.
    pub name: String,
    /// Optimiser steps, or 1 where there are none.
    pub units: f64,
}

impl Cost {
    fn new(name: impl Into<String>, precision: Precision, units: f64) -> Self {
        let name = name.into();
        Self { name: if precision.is_default() { name } else { format!("{name} {precision}") }, units }
    }
}

impl EditSpec {
    /// The cost of one edit task of a job in `precision`.
    pub fn edit_cost(&self, precision: Precision) -> Cost {
        let views = self.method.views().per_image();
        let search = if self.strength_search.is_some() { "+search" } else { "" };
        match self.method.descent() {
            Some(descent) => {
                Cost::new(format!("{}/{views}{search}", self.method.name()), precision, f64::from(descent.steps))
            }
            // one forward pass, however the mapper was trained
            None => Cost::new(format!("{}{search}", self.method.name()), precision, 1.0),
        }
    }

    /// The cost of training the edit's mapper, for methods that have one.
    pub fn train_cost(&self, precision: Precision) -> Option<Cost> {
        let views = self.method.views().per_image();
        let of = |t: crate::edit::Training<'_>| {
            Cost::new(format!("{}/{views}x{}", self.method.name(), t.batch), precision, f64::from(t.steps))
        };
        self.method.training().map(of)
    }
}

impl Inversion {
    /// The cost of one inversion.
    pub fn cost(&self, precision: Precision) -> Cost {
        let units = match self {
            Self::Encoder {} => 1,
            Self::Hybrid(refinement) => refinement.steps,
            Self::Optimise(projection) => projection.steps,
            Self::Pivotal(tuning) => tuning.pivot.steps + tuning.steps,
        };
        Cost::new(self.name(), precision, f64::from(units))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_grows_with_steps_and_is_learnt_apart_for_other_views() {
        let edit = |method: &str| -> EditSpec {
            serde_json::from_str(&format!(r#"{{"text":"a face with elf ears","method":{method}}}"#)).unwrap()
        };
        let (fp32, bf16) = (Precision::Fp32, Precision::Bf16);
        let short = edit(r#"{"kind":"clip-nce","steps":10,"views":4}"#);
        assert_eq!(short.edit_cost(fp32), Cost { name: "clip-nce/4".to_owned(), units: 10.0 });
        assert_eq!(short.edit_cost(bf16), Cost { name: "clip-nce/4 bf16".to_owned(), units: 10.0 });
        assert_eq!(short.train_cost(fp32), None);
        assert_eq!(edit(r#"{"kind":"clip-nce","steps":10,"views":1}"#).edit_cost(fp32).name, "clip-nce/1");
        let mapper = edit(r#"{"kind":"cf-mapper","train_on":"t","steps":300,"batch":2}"#);
        assert_eq!(mapper.edit_cost(fp32), Cost { name: "cf-mapper".to_owned(), units: 1.0 });
        assert_eq!(mapper.train_cost(fp32).map(|c| c.units), Some(300.0));
        assert_eq!(Inversion::default().cost(fp32), Cost { name: "encoder".to_owned(), units: 1.0 });
    }
}
