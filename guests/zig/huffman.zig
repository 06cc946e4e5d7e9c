//! Packs a file with Huffman's code, unpacks it again and prints the code it used.
//!
//!     huffman NAME      in the granted directory: reads NAME, writes NAME.huff, checks the way back
//!
//! A priority queue of tree nodes in an arena, codes as bit strings, files through `std.Io`.

const std = @import("std");
const Allocator = std.mem.Allocator;

const Node = struct {
    weight: u64,
    symbol: u8, // of a leaf; of an inner node the smallest below it, so that ties have an order
    children: ?[2]*const Node = null,
};

const Code = struct { bits: u64 = 0, length: u6 = 0 };

const Queue = std.PriorityQueue(*const Node, void, lighter);

fn lighter(_: void, a: *const Node, b: *const Node) std.math.Order {
    const by_weight = std.math.order(a.weight, b.weight);
    return if (by_weight == .eq) std.math.order(a.symbol, b.symbol) else by_weight;
}

fn create(arena: Allocator, value: Node) !*const Node {
    const node = try arena.create(Node);
    node.* = value;
    return node;
}

fn buildTree(arena: Allocator, text: []const u8) !*const Node {
    var weights: [256]u64 = @splat(0);
    for (text) |byte| weights[byte] += 1;

    var queue: Queue = .empty;
    for (weights, 0..) |weight, symbol| {
        if (weight == 0) continue;
        try queue.push(arena, try create(arena, .{ .weight = weight, .symbol = @intCast(symbol) }));
    }
    while (queue.count() > 1) {
        const a = queue.pop().?;
        const b = queue.pop().?;
        try queue.push(arena, try create(arena, .{
            .weight = a.weight + b.weight,
            .symbol = @min(a.symbol, b.symbol),
            .children = .{ a, b },
        }));
    }
    return queue.pop() orelse error.EmptyInput;
}

fn assignCodes(node: *const Node, code: Code, codes: *[256]Code) void {
    const children = node.children orelse {
        // A text of one repeated letter still needs one bit a letter.
        codes[node.symbol] = if (code.length == 0) .{ .length = 1 } else code;
        return;
    };
    for (children, 0..) |child, bit| {
        assignCodes(child, .{ .bits = code.bits << 1 | bit, .length = code.length + 1 }, codes);
    }
}

fn pack(arena: Allocator, text: []const u8, codes: *const [256]Code) ![]u8 {
    var out: std.ArrayList(u8) = .empty;
    var pending: u8 = 0;
    var count: u4 = 0;
    for (text) |byte| {
        const code = codes[byte];
        var left = code.length;
        while (left > 0) {
            left -= 1;
            pending = pending << 1 | @as(u8, @intCast(code.bits >> left & 1));
            count += 1;
            if (count < 8) continue;
            try out.append(arena, pending);
            count = 0;
        }
    }
    if (count > 0) try out.append(arena, pending << @intCast(8 - count));
    return out.items;
}

fn unpack(arena: Allocator, root: *const Node, bytes: []const u8, length: usize) ![]u8 {
    const text = try arena.alloc(u8, length);
    var bit: usize = 0;
    for (text) |*symbol| {
        var node = root;
        while (true) {
            const children = node.children orelse break;
            node = children[bytes[bit / 8] >> @intCast(7 - bit % 8) & 1];
            bit += 1;
        }
        if (root.children == null) bit += 1;
        symbol.* = node.symbol;
    }
    return text;
}

fn report(out: *std.Io.Writer, codes: *const [256]Code) !void {
    var buffer: [64]u8 = undefined;
    for (codes, 0..) |code, symbol| {
        if (code.length == 0) continue;
        for (0..code.length) |i| {
            const shift: u6 = @intCast(code.length - 1 - i);
            buffer[i] = if (code.bits >> shift & 1 == 1) '1' else '0';
        }
        const letter: u8 = if (std.ascii.isPrint(@intCast(symbol))) @intCast(symbol) else '?';
        try out.print("{d:>3} {c} {s}\n", .{ symbol, letter, buffer[0..code.length] });
    }
}

pub fn main(init: std.process.Init) !void {
    const arena = init.arena.allocator();
    const io = init.io;
    const dir = std.Io.Dir.cwd();
    var buffer: [1024]u8 = undefined;
    var stdout: std.Io.File.Writer = .init(.stdout(), io, &buffer);
    const out = &stdout.interface;

    const args = try init.minimal.args.toSlice(arena);
    if (args.len != 2) return error.NameOneFile;
    const text = try dir.readFileAlloc(io, args[1], arena, .limited(1 << 20));
    const root = try buildTree(arena, text);
    var codes: [256]Code = @splat(.{});
    assignCodes(root, .{}, &codes);
    const packed_bytes = try pack(arena, text, &codes);

    const packed_name = try std.fmt.allocPrint(arena, "{s}.huff", .{args[1]});
    try dir.writeFile(io, .{ .sub_path = packed_name, .data = packed_bytes });
    const read_back = try dir.readFileAlloc(io, packed_name, arena, .limited(1 << 20));
    const unpacked = try unpack(arena, root, read_back, text.len);
    if (!std.mem.eql(u8, text, unpacked)) return error.UnpackedToSomethingElse;

    try report(out, &codes);
    const ratio = 100 * @as(f64, @floatFromInt(packed_bytes.len)) / @as(f64, @floatFromInt(text.len));
    try out.print("{d} bytes packed into {d}: {d:.2} %\n", .{ text.len, packed_bytes.len, ratio });
    try out.flush();
}
