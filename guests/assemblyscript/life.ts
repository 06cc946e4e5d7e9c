// Conway's game of life on a board read from standard input, for as many generations as the first
// argument says. Prints the last board, the populations on the way, and a hash of the history.
//
//     life [GENERATIONS] < board        "#" is a living cell, anything else a dead one

class Board {
  cells: Uint8Array;

  constructor(public width: i32, public height: i32) {
    this.cells = new Uint8Array(width * height);
  }

  static parse(text: string): Board {
    const lines = text.split("\n").filter(line => line.length > 0);
    let width = 0;
    for (let y = 0; y < lines.length; y++) width = max(width, lines[y].length);
    const board = new Board(width, lines.length);
    for (let y = 0; y < lines.length; y++) {
      for (let x = 0; x < lines[y].length; x++) {
        board.cells[y * width + x] = lines[y].charAt(x) == "#" ? 1 : 0;
      }
    }
    return board;
  }

  // The board is a torus: its edges meet.
  private neighbours(x: i32, y: i32): i32 {
    let sum = 0;
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        if (dx == 0 && dy == 0) continue;
        const row = (y + dy + this.height) % this.height;
        const column = (x + dx + this.width) % this.width;
        sum += this.cells[row * this.width + column];
      }
    }
    return sum;
  }

  next(): Board {
    const board = new Board(this.width, this.height);
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        const alive = this.cells[y * this.width + x] == 1;
        const around = this.neighbours(x, y);
        board.cells[y * this.width + x] = around == 3 || (alive && around == 2) ? 1 : 0;
      }
    }
    return board;
  }

  population(): i32 {
    let sum = 0;
    for (let i = 0; i < this.cells.length; i++) sum += this.cells[i];
    return sum;
  }

  hash(): u64 {
    let hash: u64 = 0xcbf29ce484222325;
    for (let i = 0; i < this.cells.length; i++) {
      hash = (hash ^ this.cells[i]) * 0x100000001b3;
    }
    return hash;
  }

  toString(): string {
    let text = "";
    for (let y = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++) {
        text += this.cells[y * this.width + x] ? "#" : ".";
      }
      text += "\n";
    }
    return text;
  }
}

function readAll(): string {
  const chunk = new ArrayBuffer(256);
  const bytes = new Array<u8>();
  for (let got = process.stdin.read(chunk); got > 0; got = process.stdin.read(chunk)) {
    const view = Uint8Array.wrap(chunk, 0, got);
    for (let i = 0; i < got; i++) bytes.push(view[i]);
  }
  return String.UTF8.decodeUnsafe(bytes.dataStart, bytes.length);
}

function run(generations: i32): void {
  let board = Board.parse(readAll());
  const seen = new Map<u64, i32>();
  const populations = new Array<i32>();
  let generation = 0;
  for (; generation < generations; generation++) {
    const hash = board.hash();
    if (seen.has(hash)) {
      console.log(`generation ${generation} repeats ${seen.get(hash)}`);
      break;
    }
    seen.set(hash, generation);
    populations.push(board.population());
    board = board.next();
  }
  process.stdout.write(board.toString());
  const most = populations.slice().sort((a, b) => b - a);
  console.log(`after ${generation}: ${board.population()} alive, at most ${most.length ? most[0] : 0}`);
  console.log("populations " + populations.slice(0, 12).join(" "));
  console.log("hash " + board.hash().toString(16));
}

const args = process.argv;
run(args.length > 1 ? <i32>parseInt(args[1]) : 100);
