//! A service in Zig: a CGI program. The request comes as environment and standard input, the answer goes to standard
//! output as header lines, an empty line and the body; what is written to standard error is the site's log.

const std = @import("std");

pub fn main(init: std.process.Init) !void {
    const arena = init.arena.allocator();
    const env = init.environ_map;
    var buffer: [16 * 1024]u8 = undefined;
    var stdout: std.Io.File.Writer = .init(.stdout(), init.io, &buffer);
    const out = &stdout.interface;

    const given = env.get("REQUEST_METHOD") orelse "";
    // Of what answers HEAD the server leaves the body out.
    const method = if (is(given, "HEAD")) "GET" else given;
    const path = env.get("PATH_INFO") orelse "";
    if (is(method, "GET") and is(path, "/")) {
        const name = try parameter(arena, env.get("QUERY_STRING") orelse "", "name") orelse "world";
        try begin(out, "200 OK");
        try out.print("hello, {s}, from Zig\n", .{name});
    } else if (is(method, "POST") and is(path, "/count")) {
        try count(init.io, out);
    } else if (is(method, "GET") and is(path, "/numbers")) {
        // More than the server buffers: the client gets it while it is written.
        try begin(out, "200 OK");
        for (1..100_001) |number| try out.print("{d}\n", .{number});
    } else if (is(path, "/") or is(path, "/numbers")) {
        try refuse(out, "GET, HEAD");
    } else if (is(path, "/count")) {
        try refuse(out, "POST");
    } else {
        std.debug.print("nothing for {s} {s}\n", .{ method, path });
        try begin(out, "404 Not Found");
        try out.print("there is nothing at {s}\n", .{path});
    }
    try out.flush();
}

fn is(a: []const u8, b: []const u8) bool {
    return std.mem.eql(u8, a, b);
}

fn begin(out: *std.Io.Writer, status: []const u8) !void {
    try out.print("Status: {s}\nContent-Type: text/plain; charset=utf-8\n\n", .{status});
}

fn refuse(out: *std.Io.Writer, allowed: []const u8) !void {
    try out.print("Status: 405 Method Not Allowed\nAllow: {s}\n", .{allowed});
    try out.print("Content-Type: text/plain; charset=utf-8\n\nallowed here: {s}\n", .{allowed});
}

/// Reads the body as it comes: it need not fit into memory.
fn count(io: std.Io, out: *std.Io.Writer) !void {
    var buffer: [16 * 1024]u8 = undefined;
    var stdin: std.Io.File.Reader = .init(.stdin(), io, &buffer);
    var bytes: usize = 0;
    var lines: usize = 0;
    while (true) {
        const piece = stdin.interface.peekGreedy(1) catch |err| switch (err) {
            error.EndOfStream => break,
            else => return err,
        };
        bytes += piece.len;
        lines += std.mem.count(u8, piece, "\n");
        stdin.interface.toss(piece.len);
    }
    try begin(out, "200 OK");
    try out.print("{d} bytes, {d} lines\n", .{ bytes, lines });
}

/// The value of a parameter of the query.
fn parameter(arena: std.mem.Allocator, query: []const u8, name: []const u8) !?[]u8 {
    var parts = std.mem.splitScalar(u8, query, '&');
    while (parts.next()) |part| {
        const equals = std.mem.indexOfScalar(u8, part, '=') orelse continue;
        if (!is(part[0..equals], name)) continue;
        const value = try arena.dupe(u8, part[equals + 1 ..]);
        std.mem.replaceScalar(u8, value, '+', ' ');
        return std.Uri.percentDecodeInPlace(value);
    }
    return null;
}
