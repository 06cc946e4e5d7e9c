// A service in AssemblyScript: a CGI program. The request comes as environment and standard input, the answer goes to
// standard output as header lines, an empty line and the body; what is written to standard error is the site's log.

function variable(name: string): string {
  const env = process.env;
  return env.has(name) ? env.get(name) : "";
}

// The value of a parameter of the query; `otherwise` if it is not there.
function parameter(name: string, otherwise: string): string {
  const parts = variable("QUERY_STRING").split("&");
  for (let i = 0; i < parts.length; i++) {
    if (parts[i].startsWith(name + "=")) return decoded(parts[i].substring(name.length + 1));
  }
  return otherwise;
}

// Text without its escapes (`%20`).
function decoded(text: string): string {
  const bytes = new Array<u8>();
  const from = Uint8Array.wrap(String.UTF8.encode(text));
  for (let i = 0; i < from.length; i++) {
    const high = i + 2 < from.length ? digit(from[i + 1]) : -1;
    const low = i + 2 < from.length ? digit(from[i + 2]) : -1;
    if (from[i] == 0x25 && high >= 0 && low >= 0) {
      bytes.push(<u8>(high * 16 + low));
      i += 2;
    } else {
      bytes.push(from[i] == 0x2b ? 0x20 : from[i]);
    }
  }
  return String.UTF8.decodeUnsafe(bytes.dataStart, bytes.length);
}

function digit(c: u8): i32 {
  if (c >= 0x30 && c <= 0x39) return c - 0x30;
  const letter = c | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}

function answer(status: string, body: string): void {
  process.stdout.write(`Status: ${status}\nContent-Type: text/plain; charset=utf-8\n\n${body}`);
}

function refuse(allowed: string): void {
  answer(`405 Method Not Allowed\nAllow: ${allowed}`, `allowed here: ${allowed}\n`);
}

// Reads the body as it comes: it need not fit into memory.
function count(): void {
  let bytes = 0;
  let lines = 0;
  const buffer = new ArrayBuffer(16 * 1024);
  const view = Uint8Array.wrap(buffer);
  for (let got = process.stdin.read(buffer); got > 0; got = process.stdin.read(buffer)) {
    bytes += got;
    for (let i = 0; i < got; i++) lines += view[i] == 0x0a ? 1 : 0;
  }
  answer("200 OK", `${bytes} bytes, ${lines} lines\n`);
}

// Writes more than the server buffers: the client gets it while it is written.
function numbers(): void {
  answer("200 OK", "");
  for (let first = 1; first <= 100000; first += 1000) {
    let piece = "";
    for (let number = first; number < first + 1000; number++) piece += `${number}\n`;
    process.stdout.write(piece);
  }
}

const given = variable("REQUEST_METHOD");
// Of what answers HEAD the server leaves the body out.
const method = given == "HEAD" ? "GET" : given;
const path = variable("PATH_INFO");
if (method == "GET" && path == "/") {
  answer("200 OK", "hello, " + parameter("name", "world") + ", from AssemblyScript\n");
} else if (method == "POST" && path == "/count") {
  count();
} else if (method == "GET" && path == "/numbers") {
  numbers();
} else if (path == "/" || path == "/numbers") {
  refuse("GET, HEAD");
} else if (path == "/count") {
  refuse("POST");
} else {
  process.stderr.write(`nothing for ${method} ${path}\n`);
  answer("404 Not Found", `there is nothing at ${path}\n`);
}
