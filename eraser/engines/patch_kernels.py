"""The patch engine's inner loops, compiled by numba; tests/engines/test_patch_kernels.py has a slow twin of each.

Images are flat: pixel (y, x) of a level with `width` columns is index y * width + x, and its features are the four
bytes from 4 * index. A *field* holds, for every target (a patch centre whose patch touches the hole), the index of the
source patch it looks like; -1 elsewhere.

Nothing here allocates and nothing is parallel by itself: callers run strips of the target list in threads (`nogil`),
and a strip reads what other strips own only from the sweep before. So results do not depend on the number of threads,
and none of numba's threading layers, which abort or hang when several Python threads or a fork meet them, is needed.
"""

from __future__ import annotations

import functools
import os

import numpy as np

from eraser.machine import kernel_cache

# numba reads both when it is imported
if "NUMBA_CACHE_DIR" not in os.environ:
    # beside the package may be read-only, and then its import fails
    os.environ["NUMBA_CACHE_DIR"] = str(kernel_cache())
os.environ.setdefault("NUMBA_OPT", "2")  # compiles in a second less than 3, and what comes out is as quick

from llvmlite import ir
from numba import njit, types  # after its cache folder is set
from numba.extending import intrinsic

# numpy's divisions are those of the processor; Python's, which raise, take longer to compile
compiled = functools.partial(njit, nogil=True, cache=True, error_model="numpy")

RADIUS = 2  # patches are 5x5: larger ones scored worse and cost more
SIDE = 2 * RADIUS + 1
CHANNELS = 4
CELL_SHIFT = 3  # how often sources are used is counted in runs of 8 pixels
AWAY_SHIFT = 20  # binary places of the penalty per pixel number between a target and its source
ELSEWHERE = 60_000  # patch distance, by which a lent source is preferred: 24 of 255 in each value of a patch
KNOWN, NOTHING = -1, -2  # of pixels that are not the hole's: in `seam_steps`
STEP_BLOCK = 8  # pixels across, of whose steps the largest is kept
DEPTH_UNIT = 8  # rim distances are kept in eighths of a pixel
ROUGH = np.float32(0.5)  # of the texture channel, above its least, from which votes are as sharp as can be
FALL_STEPS = 32  # of the table below, between 1 and 1/e
FALL = np.exp(-(np.arange(12 * FALL_STEPS) + 0.5) / FALL_STEPS).astype(np.float32)  # instead of np.exp, which is slow
DEPTH_TABLE = 2 * 4 * DEPTH_UNIT  # centre and pixel of one patch differ by less than 4 pixels


def _rows_distance(rows):
    """Compile the squared distance of `rows` rows of two patches as vector instructions: LLVM finds none by itself.

    The function takes (features, first, second, stride): indices of the rows' first bytes, and bytes from row to row.
    """

    @intrinsic
    def distance(_context, features, first, second, stride):
        def generate(context, builder, signature, arguments):
            data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            a, b, step = arguments[1:]
            sums: dict[int, ir.Value] = {}
            for row in range(rows):
                # a row's 20 bytes are one full vector of 16 and one of 4
                for width, offset in ((16, 0), (4, 16)):
                    bytes_, shorts, words = (ir.VectorType(ir.IntType(bits), width) for bits in (8, 16, 32))
                    values = []
                    for index in (a, b):
                        place = builder.gep(data, [builder.add(index, ir.Constant(index.type, offset))])
                        value = builder.load(builder.bitcast(place, bytes_.as_pointer()))
                        value.align = 1
                        values.append(builder.zext(value, shorts))
                    difference = builder.sext(builder.sub(*values), words)
                    square = builder.mul(difference, difference)
                    sums[width] = builder.add(sums[width], square) if row else square
                a, b = builder.add(a, step), builder.add(b, step)
            totals = []
            for width, vector in sums.items():
                kind = ir.FunctionType(ir.IntType(32), [vector.type])
                reduce = builder.module.declare_intrinsic(f"llvm.vector.reduce.add.v{width}i32", (), kind)
                totals.append(builder.call(reduce, [vector]))
            return builder.add(*totals)

        return types.int32(features, first, second, stride), generate

    return distance


_upper_rows = _rows_distance(2)
_lower_rows = _rows_distance(SIDE - 2)


@njit(inline="always")
def patch_distance(features, stride, first, second, limit):
    """Sum of squared differences of two 5x5 patches, or any number above `limit` once it is passed.

    first, second: index of the centres times CHANNELS; stride: CHANNELS * width. All int64.
    """
    a = first - RADIUS * stride - RADIUS * CHANNELS
    b = second - RADIUS * stride - RADIUS * CHANNELS
    total = _upper_rows(features, a, b, stride)
    if total > limit:
        return total
    return total + _lower_rows(features, a + 2 * stride, b + 2 * stride, stride)


@njit(inline="always")
def next_random(state):
    """xorshift32 (Marsaglia 2003): repeatable, and its state is one integer per strip."""
    state ^= (state << np.uint32(13)) & np.uint32(0xFFFFFFFF)
    state ^= state >> np.uint32(17)
    state ^= (state << np.uint32(5)) & np.uint32(0xFFFFFFFF)
    return state


@njit(inline="always")
def extra(source, target, own, usage, run_shift, away, elsewhere):
    """What a source costs besides its patch's distance."""
    penalty = usage[source >> run_shift]
    if source < own:
        penalty += np.int32(away * abs(source - target) >> AWAY_SHIFT) + elsewhere
    return penalty


@njit(inline="always")
def better(source, target, features, stride, own, usage, run_shift, away, elsewhere, best, distance, score):
    """The source, its patch's distance to the target's and that with what else it costs, or what was best so far."""
    penalty = extra(source, target, own, usage, run_shift, away, elsewhere)
    if penalty < score:
        found = patch_distance(features, stride, target * CHANNELS, source * CHANNELS, score - penalty)
        if found + penalty < score:
            return np.int32(source), found, found + penalty
    return best, distance, score


@compiled(fastmath=True)
def search(
    features,
    width,
    targets,
    low,
    high,
    old,
    new,
    cost,
    valid,
    usage,
    run_shift,
    away,
    lending,
    radius,
    everywhere,
    backward,
    rescore,
    seed,
):
    """One PatchMatch sweep (Barnes et al. 2009) over targets[low:high]: propagate, then search at random.

    old, new    the field before and after; every target of the strip is written to `new`
    cost        int32, distance of each target's patch to its source; recomputed first if `rescore`
    valid       bool over sources · usage: int32 penalty per run of 2^run_shift sources
    away        penalty per pixel number between target and source, in 2^-AWAY_SHIFT: in effect one per row
    lending     int64: pixel numbers from a target to its source in the first lent picture, from there to the next,
                and how many there are. Others' lent sources are never tried; its own is preferred by ELSEWHERE
    radius      of the first random ring, halved down to 1; 0 for none · everywhere: uniform tries per target
    """
    stride = np.int64(width * CHANNELS)
    sources, own = valid.size, old.size
    state = np.uint32(seed)
    step = -1 if backward else 1
    first, last = targets[low], targets[high - 1]
    for k in range(low, high):
        target = np.int64(targets[high - 1 - (k - low)] if backward else targets[k])
        best = old[target]
        distance = cost[target]
        if rescore:
            distance = patch_distance(
                features, stride, target * CHANNELS, np.int64(best) * CHANNELS, np.int32(2147483647)
            )
        lends = False
        for picture in range(lending[2]):
            source = target + lending[0] + picture * lending[1]
            lends |= source < sources and valid[source]
        elsewhere = np.int32(ELSEWHERE if lends else 0)
        score = distance + extra(np.int64(best), target, own, usage, run_shift, away, elsewhere)
        for picture in range(lending[2]):
            source = target + lending[0] + picture * lending[1]
            if source >= sources or source == best or not valid[source]:
                continue
            best, distance, score = better(
                source, target, features, stride, own, usage, run_shift, away, elsewhere, best, distance, score
            )
        for neighbour in range(2):
            shift = step if neighbour == 0 else step * width
            beside = target - shift
            if beside < 0 or beside >= old.size:
                continue
            source = np.int64(new[beside] if first <= beside <= last else old[beside])
            if source < 0:
                continue
            source += shift
            if source < 0 or source >= sources or source == best or not valid[source]:
                continue
            best, distance, score = better(
                source, target, features, stride, own, usage, run_shift, away, elsewhere, best, distance, score
            )
        reach = radius
        tries = everywhere
        while reach >= 1 or tries > 0:
            state = next_random(state)
            if reach >= 1:
                span = np.int64(2 * reach + 1)
                down = (np.int64(state & np.uint32(0xFFFF)) * span >> 16) - reach
                across = (np.int64(state >> np.uint32(16)) * span >> 16) - reach
                source = np.int64(best) + down * width + across
                reach >>= 1
            else:
                source = np.int64(state) * own >> 32
                tries -= 1
            # a step over the left or right edge lands in the next row: still a source, so nothing to prevent
            if source < 0 or source >= own or not valid[source]:
                continue
            best, distance, score = better(
                source, target, features, stride, own, usage, run_shift, away, elsewhere, best, distance, score
            )
        new[target] = best
        cost[target] = distance


@compiled(fastmath=True)
def foreignness(features, width, valid, examples, low, high, out):
    """For sources low:high the distance to the most similar of the example patches; 0 where there is no source."""
    stride = np.int64(width * CHANNELS)
    for source in range(low, high):
        best = np.int32(0)
        if valid[source]:
            best = np.int32(2147483647)
            for k in range(examples.size):
                found = patch_distance(
                    features, stride, np.int64(source) * CHANNELS, np.int64(examples[k]) * CHANNELS, best
                )
                best = min(best, found)
        out[source] = best


@compiled(fastmath={"reassoc", "contract", "arcp", "nsz"})  # NaN has a meaning here
def vote(image, colours, width, pixels, low, high, field, cost, depth, weights, sharpness, out):
    """For pixels[low:high], the weighted mean of what the 25 patches over each would put there -> out[low:high].

    image (sources, C) float32 · depth: distance to the rim in DEPTH_UNITs · weights: by (centre depth - pixel depth)
    sharpness  0, or 1 / (2 sigma²) in units of patch distance: weights fall as exp(-distance * sharpness) as well,
               less so where the texture channel, behind the colours, tells of little: in what is out of focus the edge
               between two sharp votes would be the only one
    """
    size = field.size
    channels = image.shape[1]
    middle = DEPTH_TABLE // 2
    for k in range(low, high):
        pixel = pixels[k]
        least = np.int32(2147483647)
        sharp = sharpness
        if sharp > 0 and channels > colours and field[pixel] >= 0:
            sharp *= min(np.float32(1), (image[field[pixel], colours] + np.float32(1)) / ROUGH)
        if sharp > 0:
            for dy in range(-RADIUS, RADIUS + 1):
                for dx in range(-RADIUS, RADIUS + 1):
                    centre = pixel + dy * width + dx
                    if 0 <= centre < size and field[centre] >= 0 and cost[centre] < least:
                        least = cost[centre]
        for c in range(channels):
            out[k, c] = 0
        total = np.float32(0)
        for dy in range(-RADIUS, RADIUS + 1):
            for dx in range(-RADIUS, RADIUS + 1):
                shift = dy * width + dx
                centre = pixel + shift
                if centre < 0 or centre >= size or field[centre] < 0:
                    continue
                weight = weights[depth[centre] - depth[pixel] + middle]
                if sharp > 0:
                    further = np.float32(cost[centre] - least) * sharp * FALL_STEPS
                    if further >= FALL.size:
                        continue
                    weight *= FALL[np.int64(further)]
                source = field[centre] - shift
                for c in range(channels):
                    out[k, c] += weight * image[source, c]
                total += weight
        for c in range(channels):
            out[k, c] = out[k, c] / total if total > 0 else np.float32(np.nan)


@compiled()
def upsample_field(coarse, coarse_width, coarse_size, targets, width, size, valid, fallback, out):
    """Start a finer level's field from the coarser one: same offsets, doubled. fallback (T,): a source per target."""
    coarse_height = coarse_size // coarse_width
    for k in range(targets.size):
        target = targets[k]
        y, x = target // width, target % width
        best = -1
        # the parent first, then its neighbours: a target at the hole's edge may have no target above it
        for nearby in range(-1, 9):
            dy, dx = (0, 0) if nearby < 0 else (nearby // 3 - 1, nearby % 3 - 1)
            py, px = y // 2 + dy, x // 2 + dx
            if py < 0 or px < 0 or py >= coarse_height or px >= coarse_width:
                continue
            source = coarse[py * coarse_width + px]
            if source < 0:
                continue
            row = 2 * (source // coarse_width - dy) + y % 2
            column = 2 * (source % coarse_width - dx) + x % 2
            if row < 0 or column < 0 or row >= size // width or column >= width:
                continue
            candidate = row * width + column
            if valid[candidate]:
                best = candidate
                break
        out[target] = best if best >= 0 else fallback[k]


@compiled()
def rim_distance(hole, depth):
    """Chamfer distance (5, 7) / 5 to the nearest known pixel, in DEPTH_UNITs: (H, W) bool -> int16, 0 off the hole."""
    height, width = hole.shape
    straight, slanted = DEPTH_UNIT, DEPTH_UNIT * 7 // 5
    far = np.int16(32000)
    for y in range(height):
        for x in range(width):
            near = far if hole[y, x] else np.int16(0)
            if near:
                if x > 0:
                    near = min(near, depth[y, x - 1] + straight)
                if y > 0:
                    near = min(near, depth[y - 1, x] + straight)
                    if x > 0:
                        near = min(near, depth[y - 1, x - 1] + slanted)
                    if x + 1 < width:
                        near = min(near, depth[y - 1, x + 1] + slanted)
            depth[y, x] = min(near, far)
    for y in range(height - 1, -1, -1):
        for x in range(width - 1, -1, -1):
            near = depth[y, x]
            if near:
                if x + 1 < width:
                    near = min(near, depth[y, x + 1] + straight)
                if y + 1 < height:
                    near = min(near, depth[y + 1, x] + straight)
                    if x > 0:
                        near = min(near, depth[y + 1, x - 1] + slanted)
                    if x + 1 < width:
                        near = min(near, depth[y + 1, x + 1] + slanted)
                depth[y, x] = min(near, far)


@compiled()
def paint(features, pixels, values, colours, low, high):
    """Write values[low:high] (N, C) in [-1, 1], as bytes, into the features of these pixels.

    One grey channel stands for three, so that the texture channel behind the colours weighs the same in all images.
    """
    for k in range(low, high):
        place = np.int64(pixels[k]) * CHANNELS
        for c in range(CHANNELS):
            channel = c if colours >= 3 else (0 if c < 3 else 1)
            level = np.float32(0)
            if channel < values.shape[1]:
                level = (values[k, channel] + np.float32(1)) * np.float32(127.5) + np.float32(0.5)
            features[place + c] = np.uint8(min(max(level, np.float32(0)), np.float32(255)))


@compiled(fastmath=True)
def gradient_energy(grey, hole, low, high, energy, count):
    """Rows low:high of the sum of absolute differences to the right and lower neighbour, and how many are known.

    grey (H, W) float32 · hole (H, W) bool -> energy, count (H, W) float32. Pairs that touch the hole do not count.
    """
    height, width = hole.shape
    for y in range(low, high):
        for x in range(width):
            total = np.float32(0)
            pairs = np.float32(0)
            if not hole[y, x]:
                if x + 1 < width and not hole[y, x + 1]:
                    total += abs(grey[y, x + 1] - grey[y, x])
                    pairs += 1
                if y + 1 < height and not hole[y + 1, x]:
                    total += abs(grey[y + 1, x] - grey[y, x])
                    pairs += 1
            energy[y, x] = total
            count[y, x] = pairs


@compiled(fastmath=True)
def box_ratio(energy, count, reach, low, high, ratio):
    """Rows low:high of sum(energy) / sum(count) over (2 reach + 1)² pixels; -1 where nothing counts."""
    height, width = energy.shape
    for y in range(low, high):
        top, bottom = max(0, y - reach), min(height, y + reach + 1)
        for x in range(width):
            left, right = max(0, x - reach), min(width, x + reach + 1)
            above = np.float32(0)
            below = np.float32(0)
            for v in range(top, bottom):
                for u in range(left, right):
                    above += energy[v, u]
                    below += count[v, u]
            ratio[y, x] = above / below if below > np.float32(1e-3) else np.float32(-1)


@compiled(fastmath=True)
def sharpest_source(width, pixels, low, high, field, cost, depth, weight, label):
    """label[k] = the source pixel that the best patch over pixels[k] has in its place.

    Best is least cost, times `weight` per DEPTH_UNIT that the patch lies further inside: the same preference that
    votes have, so that neighbours agree with the rim first.
    """
    size = field.size
    for k in range(low, high):
        pixel = pixels[k]
        best = np.float32(1e30)
        found = -1
        for dy in range(-RADIUS, RADIUS + 1):
            for dx in range(-RADIUS, RADIUS + 1):
                shift = dy * width + dx
                centre = pixel + shift
                if centre < 0 or centre >= size or field[centre] < 0:
                    continue
                price = np.float32(cost[centre]) + weight * (depth[centre] - depth[pixel])
                if price < best:
                    best = price
                    found = field[centre] - shift
        label[k] = found


@compiled()
def largest_steps(image, colours, hole, low, high, largest):
    """The largest difference between known pixels beside each other, in any colour, in rows low:high of STEP_BLOCKs.

    image (n, C) float32 · hole (H, W) bool · largest (ceil(H / STEP_BLOCK), ceil(W / STEP_BLOCK)) float32
    """
    height, width = hole.shape
    for row in range(low, high):
        for column in range(largest.shape[1]):
            most = np.float32(0)
            for y in range(row * STEP_BLOCK, min((row + 1) * STEP_BLOCK, height)):
                for x in range(column * STEP_BLOCK, min((column + 1) * STEP_BLOCK, width)):
                    if hole[y, x]:
                        continue
                    pixel = y * width + x
                    right, below = x + 1 < width and not hole[y, x + 1], y + 1 < height and not hole[y + 1, x]
                    for c in range(colours):
                        here = image[pixel, c]
                        if right:
                            most = max(most, abs(image[pixel + 1, c] - here))
                        if below:
                            most = max(most, abs(image[pixel + width, c] - here))
            largest[row, column] = most


@compiled(fastmath=True)
def seam_steps(
    image,
    values,
    colours,
    width,
    first_lent,
    hole_index,
    label,
    plainness,
    largest,
    columns,
    low,
    high,
    tolerance,
    steps,
):
    """For the hole's pixels in rows low:high, the sum over their four neighbours of (wanted - present) colour
    difference -> steps[k].

    image (n, C) known colours · values (N, C) the hole's · hole_index (n,): the row in values, or KNOWN or NOTHING
    label (N,): the known pixel each was copied from · columns: the first with a hole pixel, and the one after the last.

    Wanted is what the sources show between the two places; of two, the greater difference (their mean is weaker, and
    would blur), of two as great, their mean. Where both come from one place nothing is missing. Differences far above
    `tolerance` are edges, and stay, but only in what is plain: plainness (N,) is from 0, so rough that no edge can be
    told, to 1; at the rim the hole's side tells it. Between two lent sources, which are those from first_lent on, none
    stays: they show the same in other light.
    largest (rows, columns of STEP_BLOCKs): the largest step around there. As far as a step is larger than the largest
    around both sources (a known pixel is its own) it is no edge.
    """
    size = hole_index.size
    height = size // width
    for y in range(low, high):
        for x in range(columns[0], columns[1]):
            pixel = y * width + x
            k = hole_index[pixel]
            if k < 0:
                continue
            source = label[k]
            for c in range(colours):
                steps[k, c] = 0
            for side in range(4):
                dy = 0 if side < 2 else (1 if side == 2 else -1)
                dx = 0 if side >= 2 else (1 if side == 0 else -1)
                if not 0 <= y + dy < height or not 0 <= x + dx < width:
                    continue
                shift = dy * width + dx
                other = hole_index[pixel + shift]
                # beside the image's left and right edge there is nothing, though the next number is a pixel
                beyond = source + shift if 0 <= source % width + dx < width else -1
                mine = 0 <= beyond < size and hole_index[beyond] == KNOWN
                theirs = False
                back = 0
                if other == NOTHING:
                    continue
                if other >= 0:
                    if label[other] == beyond:
                        continue
                    back = label[other] - shift
                    theirs = 0 <= back < size and hole_index[back] == KNOWN and 0 <= label[other] % width - dx < width
                if not mine and not theirs:
                    continue
                # from either side all must count the same, or corrections add up to tints
                own = np.float32(1 if mine else 0)
                if mine and theirs:
                    here_shows = np.float32(0)
                    there_shows = np.float32(0)
                    for c in range(colours):
                        here_shows += (image[beyond, c] - image[source, c]) ** 2
                        there_shows += (image[label[other], c] - image[back, c]) ** 2
                    own = np.float32(0.5 if here_shows == there_shows else (1 if here_shows > there_shows else 0))
                beside = np.int64(label[other]) if other >= 0 else np.int64(pixel + shift)
                usual = max(
                    largest[source // width // STEP_BLOCK, source % width // STEP_BLOCK],
                    largest[beside // width // STEP_BLOCK, beside % width // STEP_BLOCK],
                )
                worst = np.float32(0)
                weight = np.float32(0)
                for turn in range(2):
                    for c in range(colours):
                        wanted = np.float32(0)
                        if own > 0:
                            wanted += own * (image[beyond, c] - image[source, c])
                        if own < 1:
                            wanted += (np.float32(1) - own) * (image[label[other], c] - image[back, c])
                        there = values[other, c] if other >= 0 else image[pixel + shift, c]
                        missing = wanted - (there - values[k, c])
                        if turn == 0:
                            worst = max(worst, abs(missing))
                        else:
                            steps[k, c] += weight * missing
                    if turn == 0:
                        ratio = (
                            min(worst, usual) / tolerance
                            if source < first_lent or beside < first_lent
                            else np.float32(0)
                        )
                        ratio *= min(plainness[k], plainness[other]) if other >= 0 else plainness[k]
                        weight = np.float32(1) / (np.float32(1) + ratio * ratio * ratio * ratio)


@compiled(fastmath=True)
def balance(surface, source, anchor, right, down, low, high, parity, rest):
    """Rows low:high of anchor * u + (sum over neighbours of tie * (u - neighbour)) + source = 0, for u = surface.

    parity 0 or 1: a half sweep of Gauss and Seidel towards it, of the cells with (y + x) % 2 == parity. parity -1:
    what is left of it -> rest. Cells without an anchor are left alone, and have no rest.
    surface, source, rest (H, W, C) · anchor, right, down (H, W): the ties to 0 and to the next cells; all float32.
    """
    _, width, channels = surface.shape
    step = 1 if parity < 0 else 2
    for y in range(low, high):
        for x in range(0 if parity < 0 else (y + parity) % 2, width, step):
            if anchor[y, x] <= 0:
                if parity < 0:
                    for c in range(channels):
                        rest[y, x, c] = 0
                continue
            east, south = right[y, x], down[y, x]
            west = right[y, x - 1] if x > 0 else np.float32(0)
            north = down[y - 1, x] if y > 0 else np.float32(0)
            every = anchor[y, x] + east + south + west + north
            for c in range(channels):
                total = source[y, x, c]
                if east > 0:
                    total -= east * surface[y, x + 1, c]
                if south > 0:
                    total -= south * surface[y + 1, x, c]
                if west > 0:
                    total -= west * surface[y, x - 1, c]
                if north > 0:
                    total -= north * surface[y - 1, x, c]
                if parity < 0:
                    rest[y, x, c] = total + every * surface[y, x, c]
                else:
                    surface[y, x, c] = -total / every


@compiled(fastmath=True)
def gather(fine, low, high, coarse):
    """Rows low:high of coarse (ceil(H/2), ceil(W/2), C): what `spread` would hand out, collected. The transpose."""
    height, width, channels = fine.shape
    for y in range(low, high):
        coarse[y] = 0
        for dv in range(-1, 3):
            v = max(2 * y + dv, 0)
            if v >= height:
                if v > height or height % 2:
                    continue
                v = height - 1
            tall = np.float32(0.75 if dv == 0 or dv == 1 else 0.25)
            for x in range(coarse.shape[1]):
                for c in range(channels):
                    row = np.float32(0.75) * fine[v, 2 * x, c] + np.float32(0.25) * fine[v, max(2 * x - 1, 0), c]
                    if 2 * x + 1 < width:
                        row += np.float32(0.75) * fine[v, 2 * x + 1, c]
                        if 2 * x + 2 < width:
                            row += np.float32(0.25) * fine[v, 2 * x + 2, c]
                        else:
                            row += np.float32(0.25) * fine[v, 2 * x + 1, c]
                    coarse[y, x, c] += tall * row


@compiled(fastmath=True)
def spread(coarse, anchor, low, high, fine):
    """Rows low:high: add coarse, doubled bilinearly, to fine (H, W, C) where there is an anchor (H, W)."""
    _, width, channels = fine.shape
    rows, columns = coarse.shape[:2]
    for y in range(low, high):
        v = y // 2
        beside = min(max(v + (1 if y % 2 else -1), 0), rows - 1)
        for x in range(width):
            if anchor[y, x] <= 0:
                continue
            u = x // 2
            next_to = min(max(u + (1 if x % 2 else -1), 0), columns - 1)
            for c in range(channels):
                fine[y, x, c] += (
                    np.float32(0.5625) * coarse[v, u, c]
                    + np.float32(0.1875) * (coarse[beside, u, c] + coarse[v, next_to, c])
                    + np.float32(0.0625) * coarse[beside, next_to, c]
                )
