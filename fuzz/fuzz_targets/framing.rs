//! A whole message: head, framing, body. The body ends at the same byte however the bytes come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sidestream::http::body::BodyReader;
use sidestream::http::framing::{Framing, of_request, of_response};
use sidestream::http::head::{HeadKind, HeadScanner, Method, RequestHead, ResponseHead};

fuzz_target!(|data: &[u8]| {
    for kind in [HeadKind::Request, HeadKind::Response] {
        let Ok(Some(end)) = HeadScanner::default().push(kind, data) else {
            continue;
        };
        let (head, body) = data.split_at(end);
        let Some(framing) = framing(kind, head) else {
            continue;
        };
        let (mut reader, mut dripped) = (BodyReader::new(framing), BodyReader::new(framing));
        let whole = reader.push(body, |_| ());
        let mut consumed = 0;
        let parts = body.chunks(1).try_for_each(|byte| {
            consumed += dripped.push(byte, |_| ())?.consumed;
            Ok(())
        });
        assert_eq!(whole.map(|progress| progress.consumed), parts.map(|()| consumed));
        assert_eq!(reader.is_done(), dripped.is_done());
        assert_eq!(reader.is_complete_at_eof(), dripped.is_complete_at_eof());
        assert_eq!(reader.announced(), dripped.announced());
    }
});

fn framing(kind: HeadKind, head: &[u8]) -> Option<Framing> {
    if kind == HeadKind::Response {
        let mut response = ResponseHead::default();
        response.parse(head).ok()?;
        assert_eq!(of_response(&response, Method::Head), Ok(Framing::None));
        return of_response(&response, Method::Post).ok();
    }
    let mut request = RequestHead::default();
    request.parse(head).ok()?;
    let framing = of_request(&request).ok()?;
    let said = request.count("content-length") + request.count("transfer-encoding");
    assert_eq!(said, usize::from(framing != Framing::None));
    assert_ne!(framing, Framing::UntilClose);
    Some(framing)
}
