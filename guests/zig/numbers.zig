//! Pure functions for a host to call: no system interface, no imports at all.

const std = @import("std");

/// How many ways there are to place `n` queens on an n × n board so that none attacks another.
export fn queens(n: u32) u32 {
    return place(@truncate((@as(u64, 1) << @intCast(n)) - 1), 0, 0, 0);
}

fn place(board: u32, columns: u32, left: u32, right: u32) u32 {
    if (columns == board) return 1;
    var free = board & ~(columns | left | right);
    var ways: u32 = 0;
    while (free != 0) {
        const bit = free & (~free +% 1);
        free ^= bit;
        ways += place(board, columns | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return ways;
}

/// The greatest common divisor.
export fn gcd(a: u64, b: u64) u64 {
    return if (b == 0) a else gcd(b, a % b);
}

/// a · b mod m without overflow: the product has 128 bits.
export fn mulmod(a: u64, b: u64, m: u64) u64 {
    return @truncate(@as(u128, a) * b % m);
}

/// The steps from `start` to 1 by Collatz's rule; traps when a number leaves 64 bits.
export fn collatz(start: u64) u32 {
    var value = start;
    var steps: u32 = 0;
    while (value != 1) : (steps += 1) {
        value = if (value % 2 == 0) value / 2 else std.math.add(u64, std.math.mul(u64, value, 3) catch @trap(), 1) catch @trap();
    }
    return steps;
}

/// Newton's square root, to compare with the machine's own.
export fn newton(x: f64) f64 {
    var guess: f64 = if (x > 1) x / 2 else 1;
    for (0..200) |_| {
        const next = (guess + x / guess) / 2;
        if (next == guess) break;
        guess = next;
    }
    return guess;
}

/// Converts as WebAssembly's trapping conversion does.
export fn whole(x: f32) i32 {
    return asm (
        \\ local.get %[x]
        \\ i32.trunc_f32_s
        \\ local.set %[ret]
        : [ret] "=r" (-> i32),
        : [x] "r" (x),
    );
}

var calls: u64 = 0;

/// Counts its own calls: state that lives as long as the instance.
export fn count() u64 {
    calls += 1;
    return calls;
}

var table: [1 << 16]u32 = undefined;

/// Sums a table in memory that it fills first: loads and stores in two loops.
export fn scramble(seed: u32) u32 {
    var state = seed;
    for (&table) |*entry| {
        state = state *% 1664525 +% 1013904223;
        entry.* = state;
    }
    var sum: u32 = 0;
    for (0..table.len) |i| sum = std.math.rotl(u32, sum, 5) ^ table[(i *% 40503) % table.len];
    return sum;
}
