//! The smallest runtime of one's own: speaks the Lambda Runtime API over one kept-alive connection and
//! answers every event alike. Standard library only; compiled by the bench. Not an example: it trusts the
//! server to answer in HTTP/1.1 with a Content-Length, which a real runtime should not.

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

const ANSWER: &str = r#"{"message":"Hello, World!"}"#;
const NEXT: &str = "/2018-06-01/runtime/invocation/next";

fn main() -> Result<(), Box<dyn Error>> {
    let api = env::var("AWS_LAMBDA_RUNTIME_API")?;
    let mut writer = TcpStream::connect(&api)?;
    writer.set_nodelay(true)?;
    let mut reader = BufReader::new(writer.try_clone()?);
    loop {
        writer.write_all(format!("GET {NEXT} HTTP/1.1\r\nHost: {api}\r\n\r\n").as_bytes())?;
        let request = receive(&mut reader)?.ok_or("an event without a request id")?;
        let path = format!("/2018-06-01/runtime/invocation/{request}/response");
        let head = format!("POST {path} HTTP/1.1\r\nHost: {api}\r\nContent-Length: {}\r\n\r\n", ANSWER.len());
        writer.write_all((head + ANSWER).as_bytes())?;
        receive(&mut reader)?;
    }
}

/// Reads one response to its end; gives the request's id if it carries one.
fn receive(reader: &mut BufReader<TcpStream>) -> Result<Option<String>, Box<dyn Error>> {
    let (mut request, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err("the Runtime API has closed the connection".into());
        }
        let Some((name, value)) = line.split_once(':') else {
            if line == "\r\n" {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "lambda-runtime-aws-request-id" => request = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse()?,
            _ => {}
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    Ok(request)
}
