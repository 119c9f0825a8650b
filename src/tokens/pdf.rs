//! PDFs (ISO 32000-1): how many pages one has.

use std::str;

use base64::Engine;
use memchr::memmem;

use super::text::{BASE64, base64_digits};

/// Tokens of one page, its text and its picture.
pub(super) const PAGE: u64 = 3000;

/// The pages of a PDF in base64, at least 1: its page objects, or what a linearized one says at its beginning. Where both
/// are hidden (compressed objects), a guess from the size.
pub(super) fn pages(escaped: &[u8]) -> u64 {
    /// What a page of text with a drawing takes, compressed.
    const GUESSED_PAGE_BYTES: usize = 64 * 1024;
    let digits = base64_digits(escaped, usize::MAX);
    let (mut found, mut linearized, mut bytes) = (0, None, 0);
    let mut window = Vec::new();
    for piece in digits.chunks(PIECE_DIGITS) {
        let whole = piece.len() / 4 * 4;
        let Ok(more) = BASE64.decode(piece.get(..whole).unwrap_or_default()) else { break };
        window.extend_from_slice(&more);
        if bytes == 0 {
            linearized = pages_of_linearized(&window);
        }
        bytes += more.len();
        // What begins near the end is counted with the next piece.
        let last = window.len().saturating_sub(OVERLAP);
        found += page_objects(&window, last);
        window.drain(..last);
    }
    found += page_objects(&window, window.len());
    match (found, linearized) {
        (0, None) => (bytes / GUESSED_PAGE_BYTES).max(1) as u64,
        (found, linearized) => found.max(linearized.unwrap_or(0)).max(1),
    }
}

/// Decoded at a time; a multiple of 4.
const PIECE_DIGITS: usize = 64 * 1024;
/// Room for `/Type`, a few spaces and `/Page`.
const OVERLAP: usize = 32;

/// Objects `/Type /Page` that begin in the first `before` bytes.
fn page_objects(pdf: &[u8], before: usize) -> u64 {
    let types = memmem::find_iter(pdf, b"/Type").take_while(|at| *at < before);
    let is_page = |at: &usize| {
        let name = pdf.get(at + 5..).unwrap_or_default().trim_ascii_start();
        name.strip_prefix(b"/Page").is_some_and(|rest| !rest.first().is_some_and(u8::is_ascii_alphanumeric))
    };
    types.filter(is_page).count() as u64
}

/// The `/N` of a linearization dictionary (Annex F.3), which stands in the first 1024 bytes.
fn pages_of_linearized(pdf: &[u8]) -> Option<u64> {
    let head = pdf.get(..1024).unwrap_or(pdf);
    let dictionary = head.get(memmem::find(head, b"/Linearized")?..)?;
    let dictionary = dictionary.get(..memmem::find(dictionary, b">>")?)?;
    let number = dictionary.get(memmem::find(dictionary, b"/N ")? + 3..)?.trim_ascii_start();
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
    str::from_utf8(number.get(..digits)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_counted() {
        let page = "<< /Type /Page /Parent 2 0 R >>\n";
        let many = format!("%PDF-1.4 {}", format!("{page}{}", "x".repeat(1_000)).repeat(300));
        let big = "y".repeat(300_000);
        #[rustfmt::skip]
        let table = [
            ("", 1), ("no PDF", 1), ("%PDF /Type /Pages /Type/PageLabels /Type /Page", 1), (&*page.repeat(3), 3),
            ("/Type/Page /Type\r\n/Page>>", 2), (&*many, 300), (&*big, 4),
            ("%PDF-1.5\n1 0 obj << /Linearized 1 /L 9 /H [ 1 2 ] /O 5 /E 7 /N 12 /T 3 >>", 12),
            ("%PDF /Linearized 1 /N x >>", 1),
        ];
        for (pdf, want) in table {
            assert_eq!(pages(BASE64.encode(pdf).as_bytes()), want, "{}", &pdf[..pdf.len().min(60)]);
        }
        assert_eq!(pages(b"!!"), 1);
    }
}
