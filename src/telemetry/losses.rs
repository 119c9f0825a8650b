//! What was lost between two dialects, by kind.

use super::cell::Cell;
use crate::dialect::Dialect;
use crate::dialect::loss::LossKind;

/// Losses counted by the client's dialect, the upstream's, and what became of them.
#[derive(Debug, Default)]
pub struct Losses([[[Cell; KINDS.len()]; DIALECTS.len()]; DIALECTS.len()]);

const DIALECTS: [Dialect; 3] = [Dialect::Chat, Dialect::Responses, Dialect::Messages];
const KINDS: [LossKind; 3] = [LossKind::Dropped, LossKind::Approximated, LossKind::Invented];

impl Losses {
    /// Counts one.
    pub fn add(&self, client: Dialect, upstream: Dialect, kind: LossKind) {
        let cell = self.0.get(client as usize).and_then(|row| row.get(upstream as usize));
        if let Some(cell) = cell.and_then(|row| row.get(kind as usize)) {
            cell.add(1);
        }
    }

    /// Every pair of different dialects with its kinds: client's, upstream's, kind, count.
    pub fn rows(&self) -> impl Iterator<Item = (Dialect, Dialect, LossKind, u64)> {
        self.0.iter().zip(DIALECTS).flat_map(|(row, client)| {
            let pairs = row.iter().zip(DIALECTS).filter(move |(_, upstream)| *upstream != client);
            pairs.flat_map(move |(cells, upstream)| {
                cells.iter().zip(KINDS).map(move |(cell, kind)| (client, upstream, kind, cell.get()))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_stands_at_its_place() {
        let losses = Losses::default();
        losses.add(Dialect::Messages, Dialect::Chat, LossKind::Approximated);
        losses.add(Dialect::Messages, Dialect::Chat, LossKind::Approximated);
        losses.add(Dialect::Chat, Dialect::Messages, LossKind::Dropped);
        let counted: Vec<_> = losses.rows().filter(|row| row.3 > 0).collect();
        let want = [
            (Dialect::Chat, Dialect::Messages, LossKind::Dropped, 1),
            (Dialect::Messages, Dialect::Chat, LossKind::Approximated, 2),
        ];
        assert_eq!(counted, want);
        assert_eq!(losses.rows().count(), 18);
    }
}
