/**
 * Cryptokey routing (paper, section 2): one table for each family, from prefix to peer, read as a
 * routing table on the way out and as an access list on the way in.
 *
 * A path-compressed binary trie in one flat array, a row of words for each node. Nodes without an
 * owner only branch, and always have two children. The nodes of a peer are a linked list through the
 * rows, so removing or listing a peer costs its own prefixes alone.
 */

// Words of a row. The key words come last.
const CIDR = 0;
const OWNER = 1;
const LEFT = 2;
const PARENT = 4;
const PREVIOUS = 5;
const NEXT = 6;
const KEY = 7;

/** Row 0 is no node. */
const NONE = 0;
const NOBODY = -1;
const SMALLEST = 16;

export class AllowedIps {
  readonly #bits: 32 | 128;
  readonly #keyWords: number;
  readonly #row: number;
  #nodes: Int32Array;
  /** First row never used, first row given back (linked by LEFT), and how many are in use. */
  #fresh = 1;
  #free = NONE;
  #used = 0;
  #root = NONE;
  /** By peer: its first and last node. */
  #lists: Int32Array = new Int32Array(0);
  /** The address under work. */
  readonly #address: Int32Array = new Int32Array(4);
  size = 0;

  constructor(bits: 32 | 128) {
    this.#bits = bits;
    this.#keyWords = bits / 32;
    this.#row = bits === 32 ? 8 : 12;
    this.#nodes = new Int32Array(SMALLEST * this.#row);
  }

  get memoryBytes(): number {
    return this.#nodes.byteLength + this.#lists.byteLength;
  }

  /** @returns the owner of the longest prefix that holds the address at `bytes[offset]`, or -1 */
  lookup(bytes: Uint8Array, offset: number): number {
    const nodes = this.#nodes;
    const row = this.#row;
    this.#load(bytes, offset);
    let owner = NOBODY;
    for (let node = this.#root; node !== NONE; ) {
      const at = node * row;
      const cidr = nodes[at + CIDR]!;
      if (!this.#covers(at, cidr)) break;
      if (nodes[at + OWNER] !== NOBODY) owner = nodes[at + OWNER]!;
      if (cidr === this.#bits) break;
      node = nodes[at + LEFT + this.#bit(cidr)]!;
    }
    return owner;
  }

  /**
   * Gives a prefix to a peer, whoever had it. Host bits are ignored.
   * @returns the previous owner of exactly this prefix, or -1
   */
  set(address: Uint8Array, cidr: number, peer: number): number {
    this.#load(address, 0);
    this.#mask(cidr);
    const node = this.#find(cidr) || this.#insert(cidr);
    const at = node * this.#row;
    const previous = this.#nodes[at + OWNER]!;
    if (previous === peer) return peer;
    if (previous !== NOBODY) this.#unlink(node);
    else this.size++;
    this.#nodes[at + OWNER] = peer;
    this.#link(node, peer);
    return previous;
  }

  /** Takes a prefix from a peer. @returns false when it was not this peer's */
  remove(address: Uint8Array, cidr: number, peer: number): boolean {
    this.#load(address, 0);
    this.#mask(cidr);
    const node = this.#find(cidr);
    if (node === NONE || this.#nodes[node * this.#row + OWNER] !== peer) return false;
    this.#clear(node);
    this.#compact();
    return true;
  }

  /** Takes all prefixes from a peer. */
  removePeer(peer: number): void {
    while (this.peerHas(peer)) this.#clear(this.#lists[2 * peer]!);
    this.#compact();
  }

  peerHas(peer: number): boolean {
    return 2 * peer < this.#lists.length && this.#lists[2 * peer] !== NONE;
  }

  /** The peer's prefixes, in the order it got them. */
  forEachOfPeer(peer: number, visit: (address: Uint8Array, cidr: number) => void): void {
    if (!this.peerHas(peer)) return;
    for (let node = this.#lists[2 * peer]!; node !== NONE; node = this.#nodes[node * this.#row + NEXT]!) {
      const address = new Uint8Array(this.#bits / 8);
      const view = new DataView(address.buffer);
      for (let i = 0; i < this.#keyWords; i++) view.setInt32(4 * i, this.#nodes[node * this.#row + KEY + i]!);
      visit(address, this.#nodes[node * this.#row + CIDR]!);
    }
  }

  #load(bytes: Uint8Array, offset: number): void {
    for (let i = 0; i < this.#keyWords; i++) {
      const at = offset + 4 * i;
      this.#address[i] = (bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!;
    }
  }

  #mask(cidr: number): void {
    for (let i = 0; i < this.#keyWords; i++) {
      const bits = Math.min(32, Math.max(0, cidr - 32 * i));
      this.#address[i] = bits === 0 ? 0 : this.#address[i]! & (-1 << (32 - bits));
    }
  }

  #bit(position: number): number {
    return (this.#address[position >>> 5]! >>> (31 - (position & 31))) & 1;
  }

  /** Does the node's prefix hold the address? */
  #covers(at: number, cidr: number): boolean {
    const nodes = this.#nodes;
    const address = this.#address;
    const whole = cidr >>> 5;
    for (let i = 0; i < whole; i++) if (nodes[at + KEY + i] !== address[i]) return false;
    const rest = cidr & 31;
    return rest === 0 || (nodes[at + KEY + whole]! ^ address[whole]!) >>> (32 - rest) === 0;
  }

  /** Leading bits that the node's key and the address share, at most `limit`. */
  #shared(at: number, limit: number): number {
    for (let i = 0; i < this.#keyWords; i++) {
      const unlike = this.#nodes[at + KEY + i]! ^ this.#address[i]!;
      if (unlike !== 0) return Math.min(limit, 32 * i + Math.clz32(unlike));
    }
    return limit;
  }

  #find(cidr: number): number {
    for (let node = this.#root; node !== NONE; ) {
      const at = node * this.#row;
      const own = this.#nodes[at + CIDR]!;
      if (own > cidr || !this.#covers(at, own)) return NONE;
      if (own === cidr) return node;
      node = this.#nodes[at + LEFT + this.#bit(own)]!;
    }
    return NONE;
  }

  /** Makes the node for the address and a prefix length that has none yet. */
  #insert(cidr: number): number {
    const created = this.#allocate(cidr);
    const row = this.#row;
    let parent = NONE;
    let node = this.#root;
    while (node !== NONE) {
      const own = this.#nodes[node * row + CIDR]!;
      if (own >= cidr || !this.#covers(node * row, own)) break;
      parent = node;
      node = this.#nodes[node * row + LEFT + this.#bit(own)]!;
    }
    if (node === NONE) {
      this.#attach(parent, created);
      return created;
    }
    const own = this.#nodes[node * row + CIDR]!;
    const shared = this.#shared(node * row, Math.min(own, cidr));
    if (shared === cidr) {
      this.#attach(parent, created);
      this.#attach(created, node);
      return created;
    }
    const branch = this.#allocate(shared);
    this.#attach(parent, branch);
    this.#attach(branch, node);
    this.#attach(branch, created);
    return created;
  }

  /** Puts a node below another, on the side its key says. */
  #attach(parent: number, node: number): void {
    const row = this.#row;
    this.#nodes[node * row + PARENT] = parent;
    if (parent === NONE) {
      this.#root = node;
      return;
    }
    const cidr = this.#nodes[parent * row + CIDR]!;
    const side = (this.#nodes[node * row + KEY + (cidr >>> 5)]! >>> (31 - (cidr & 31))) & 1;
    this.#nodes[parent * row + LEFT + side] = node;
  }

  /** The prefix of `node` has no owner any more; nodes that serve nothing go. */
  #clear(node: number): void {
    this.#unlink(node);
    this.#nodes[node * this.#row + OWNER] = NOBODY;
    this.size--;
    for (let at = node; at !== NONE && this.#nodes[at * this.#row + OWNER] === NOBODY; ) {
      const left = this.#nodes[at * this.#row + LEFT]!;
      const right = this.#nodes[at * this.#row + LEFT + 1]!;
      if (left !== NONE && right !== NONE) return;
      const parent = this.#nodes[at * this.#row + PARENT]!;
      this.#replace(parent, at, left || right);
      this.#release(at);
      at = parent;
    }
  }

  #replace(parent: number, old: number, node: number): void {
    const row = this.#row;
    if (node !== NONE) this.#nodes[node * row + PARENT] = parent;
    if (parent === NONE) this.#root = node;
    else {
      const side = this.#nodes[parent * row + LEFT] === old ? 0 : 1;
      this.#nodes[parent * row + LEFT + side] = node;
    }
  }

  #link(node: number, peer: number): void {
    if (2 * peer >= this.#lists.length) {
      const lists = new Int32Array(Math.max(8, Math.ceil((peer + 1) * 1.5)) * 2);
      lists.set(this.#lists);
      this.#lists = lists;
    }
    const row = this.#row;
    const last = this.#lists[2 * peer + 1]!;
    this.#nodes[node * row + PREVIOUS] = last;
    this.#nodes[node * row + NEXT] = NONE;
    if (last === NONE) this.#lists[2 * peer] = node;
    else this.#nodes[last * row + NEXT] = node;
    this.#lists[2 * peer + 1] = node;
  }

  #unlink(node: number): void {
    const row = this.#row;
    const peer = this.#nodes[node * row + OWNER]!;
    const previous = this.#nodes[node * row + PREVIOUS]!;
    const next = this.#nodes[node * row + NEXT]!;
    if (previous === NONE) this.#lists[2 * peer] = next;
    else this.#nodes[previous * row + NEXT] = next;
    if (next === NONE) this.#lists[2 * peer + 1] = previous;
    else this.#nodes[next * row + PREVIOUS] = previous;
  }

  /** A node with the address, masked, as its key. */
  #allocate(cidr: number): number {
    let node = this.#free;
    if (node !== NONE) this.#free = this.#nodes[node * this.#row + LEFT]!;
    else {
      node = this.#fresh++;
      if (this.#fresh * this.#row > this.#nodes.length) {
        const nodes = new Int32Array(Math.ceil(this.#fresh * 1.5) * this.#row);
        nodes.set(this.#nodes);
        this.#nodes = nodes;
      }
    }
    this.#used++;
    const at = node * this.#row;
    this.#nodes.fill(0, at, at + this.#row);
    this.#nodes[at + CIDR] = cidr;
    this.#nodes[at + OWNER] = NOBODY;
    for (let i = 0; i < this.#keyWords; i++) {
      const bits = Math.min(32, Math.max(0, cidr - 32 * i));
      this.#nodes[at + KEY + i] = bits === 0 ? 0 : this.#address[i]! & (-1 << (32 - bits));
    }
    return node;
  }

  #release(node: number): void {
    this.#nodes[node * this.#row + LEFT] = this.#free;
    this.#free = node;
    this.#used--;
  }

  /** Gives memory back when little of it is in use: the nodes are set again into a smaller table. */
  #compact(): void {
    if (this.#nodes.length <= SMALLEST * this.#row || this.#used * 4 * this.#row > this.#nodes.length) return;
    const { size } = this;
    const smaller = new AllowedIps(this.#bits);
    for (let peer = 0; 2 * peer < this.#lists.length; peer++) {
      this.forEachOfPeer(peer, (address, cidr) => smaller.set(address, cidr, peer));
    }
    this.#nodes = smaller.#nodes;
    this.#fresh = smaller.#fresh;
    this.#free = smaller.#free;
    this.#used = smaller.#used;
    this.#root = smaller.#root;
    this.#lists = smaller.#lists;
    this.size = size;
  }
}
