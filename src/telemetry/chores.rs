//! Chores that were answered here, by kind.

use super::cell::Cell;
use crate::dialect::chores::Chore;

/// One number for each kind.
#[derive(Debug, Default)]
pub struct Chores([Cell; Chore::ALL.len()]);

impl Chores {
    /// Counts one.
    pub fn add(&self, chore: Chore) {
        if let Some(cell) = self.0.get(chore as usize) {
            cell.add(1);
        }
    }

    /// Every kind with its count.
    pub fn rows(&self) -> impl Iterator<Item = (Chore, u64)> {
        Chore::ALL.into_iter().zip(&self.0).map(|(chore, cell)| (chore, cell.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_its_place() {
        for chore in Chore::ALL {
            let chores = Chores::default();
            chores.add(chore);
            let counted: Vec<_> = chores.rows().filter(|row| row.1 > 0).collect();
            assert_eq!(counted, [(chore, 1)]);
        }
    }
}
