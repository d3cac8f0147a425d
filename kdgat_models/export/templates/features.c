/* Features: each frame against the causal past of its own ID. Line by line what kdgat_models/graphs/relative_measures.py and
 * relative.py compute. */
enum { EARLY, LATE, DEVIATION, EARLY_SURPRISE, HAMMING, FLIPS, NOVELTY, SUCCESSOR, RECORD, BOTH, DLC, FIRST, STUCK, TRANSITION };
static const int COUNTED[KDGAT_COUNTED] = {EARLY, EARLY_SURPRISE, FLIPS, NOVELTY, SUCCESSOR};
static const float ABOVE[KDGAT_COUNTED] = {1, 4, 4, 3, 4};
#define CLIP 8.0
#define TINY_GAP 1e-6
#define LEARNING 200.0
#define FOLLOWING 60.0

static double least(double a, double b) { return a < b ? a : b; }
static double most(double a, double b) { return a > b ? a : b; }

static double deviation(const float *moments) { return sqrt(most(moments[1] - moments[0] * moments[0], 0) + 1); }

static double standardised(const float *moments, double value)
{
    double difference = value - moments[0], z;
    if (difference >= -1 && difference <= 1) return 0;
    z = difference / deviation(moments);
    return z > 1 ? log2(z) : z < -1 ? -log2(-z) : 0;
}

static double excess(const float *moments, double value)
{
    double beyond = value - moments[0];
    return beyond <= 2 ? 0 : log2(1 + most(beyond - 2 * deviation(moments), 0));
}

static void learn(float *moments, double value, double rate)
{
    moments[0] = (float)(moments[0] + rate * (value - moments[0]));
    moments[1] = (float)(moments[1] + rate * (value * value - moments[1]));
}

static double transition(kdgat_state *s, int k)
{
    int previous = s->last_slot - 1;
    uint32_t cell;
    double surprisal, mean;
    s->last_slot = k + 1;
    if (previous < 0) return 0;
    cell = (uint32_t)(((uint64_t)previous * 2654435761u + ((uint64_t)k + 1) * 40503u) % KDGAT_PAIRS);
    surprisal = -log2((s->follows[cell] + 0.5) / (s->followed[previous] + 32.0));
    s->followed[previous] += 1;
    s->follows[cell] += 1;
    mean = s->transition;
    s->transition += (surprisal - mean) / least(s->frames + 1, 20000);
    return surprisal - mean;
}

static int timing(kdgat_state *s, kdgat_norm *norm, double now, double gap, double rate, int row)
{
    float *out = s->measures[row];
    double period = norm->period, jitter = norm->jitter, ratio, tolerance, share, unlike;
    int early;
    if (norm->trust == 0) {
        norm->period = log2(gap);
        norm->jitter = 0.3;
        return 1;
    }
    ratio = log2(most(now - norm->scheduled, TINY_GAP)) - period;
    tolerance = most(3 * jitter, 0.2);
    if (norm->doubted >= 0 && ratio > 0) {
        double after = log2(most(now - norm->doubted, TINY_GAP)) - period;
        if (fabs(after) < least(tolerance, 0.4) && fabs(after) < ratio) {
            int64_t earlier = row - ((int64_t)s->frames - 1 - norm->doubted_frame);
            norm->resets += 1;
            memcpy(norm->payload, norm->doubted_payload, 8);
            if (earlier >= 0) {
                float *mended = s->measures[earlier];
                mended[EARLY] = mended[EARLY_SURPRISE] = mended[DEVIATION] = mended[BOTH] = 0;
            }
            ratio = after;
        }
    }
    early = ratio < -least(tolerance, 1);
    share = norm->early;
    if (early) {
        double T = least(norm->trust, LEARNING), events = norm->resets / (norm->doubts + 0.5);
        out[EARLY] = (float)least(-ratio, CLIP);
        out[EARLY_SURPRISE] = (float)(-log2((share * T + 0.5) / (T + 1)) * most(1 - events, 0));
    } else if (ratio > tolerance) {
        out[LATE] = (float)least(ratio, CLIP);
    }
    unlike = fabs(ratio) / (3 * jitter + 0.15);
    out[DEVIATION] = unlike > 1 ? (float)log2(unlike) : 0;
    norm->early = share + rate * ((early ? 1.0 : 0.0) - share);
    if (early && share < 0.5) return 0;
    norm->period += rate * least(most(ratio, -1), 1);
    norm->jitter += rate * (least(fabs(ratio), 2) - jitter);
    return 1;
}

static double flips(kdgat_norm *norm, const uint8_t *payload, double rate, double T, int on_time, int *hamming)
{
    float keep = (float)(1.0 - rate);
    double scale = 1 / (T + 1), likelihood = 1;
    uint8_t folded = 0;
    int b, byte;
    if (on_time) for (b = 0; b < 72; b++) norm->flips[b] *= keep;
    *hamming = 0;
    for (byte = 0; byte < 9; byte++) {
        uint8_t changed = byte < 8 ? payload[byte] ^ norm->payload[byte] : folded;
        folded ^= changed;
        for (b = 8 * byte; changed; b++, changed >>= 1) {
            if (!(changed & 1)) continue;
            likelihood *= (norm->flips[b] * T + 0.5) * scale;
            if (on_time) norm->flips[b] = (float)(norm->flips[b] + rate);
            if (byte < 8) *hamming += 1;
        }
    }
    return likelihood < 1 ? -log2(likelihood) : 0;
}

static double novelty(kdgat_norm *norm, const uint8_t *payload, double rate, double T, int on_time)
{
    double surprisal = 0;
    int byte;
    for (byte = 0; byte < 8; byte++) {
        uint32_t *word = &norm->seen[8 * byte + (payload[byte] >> 5)], bit = (uint32_t)1 << (payload[byte] & 31);
        double share = norm->novel[byte], fresh = (*word & bit) ? 0 : 1;
        if (fresh > 0) surprisal -= log2((share * T + 0.5) / (T + 1));
        if (on_time) {
            norm->novel[byte] = (float)(share + rate * (fresh - share));
            *word |= bit;
        }
    }
    return surprisal;
}

static double successors(kdgat_norm *norm, const uint8_t *payload, double rate, double T, int on_time)
{
    double likelihood = 1;
    int n;
    for (n = 0; n < 16; n++) {
        int shift = 4 * (1 - n % 2), before = (norm->payload[n / 2] >> shift) & 15, after = (payload[n / 2] >> shift) & 15;
        int expected = norm->successor[16 * n + before];
        double share = norm->hits[n];
        if (expected && expected != after + 1) likelihood *= ((1 - share) * T + 0.5) / (T + 1);
        if (on_time) {
            if (expected) norm->hits[n] = (float)(share + rate * ((expected == after + 1 ? 1.0 : 0.0) - share));
            norm->successor[16 * n + before] = (uint8_t)(after + 1);
        }
    }
    return likelihood < 1 ? -log2(likelihood) : 0;
}

static void compare_payload(kdgat_norm *norm, const uint8_t *payload, int dlc, double rate, int on_time, float *out)
{
    double T = least(norm->trust, FOLLOWING * 100), surprisal, fresh, misses, total;
    int hamming;
    int64_t run;
    surprisal = flips(norm, payload, rate, T, on_time, &hamming);
    fresh = novelty(norm, payload, rate, T, on_time);
    misses = successors(norm, payload, rate, T, on_time);
    out[HAMMING] = (float)standardised(norm->hamming, hamming);
    out[FLIPS] = (float)excess(norm->surprisal, surprisal);
    out[NOVELTY] = fresh > 0 ? (float)log2(1 + fresh) : 0;
    out[SUCCESSOR] = (float)excess(norm->misses, misses);
    total = surprisal + fresh;
    out[RECORD] = total > norm->record ? (float)least(log2((total + 4) / (norm->record + 4)), CLIP) : 0;
    out[DLC] = dlc != norm->dlc;
    run = hamming == 0 ? norm->run + 1 : 0;
    if (norm->longest > 0 && run > norm->longest) out[STUCK] = (float)least(log2((run + 1.0) / (norm->longest + 1.0)), CLIP);
    if (!on_time) return;
    learn(norm->hamming, hamming, rate);
    learn(norm->surprisal, surprisal, rate);
    learn(norm->misses, misses, rate);
    norm->record = (float)most(norm->record, total);
    if (hamming && norm->run + 1 > norm->longest) norm->longest = norm->run + 1;
    norm->run = run;
    norm->dlc = (uint8_t)dlc;
    memcpy(norm->payload, payload, 8);
}

/* Write the measures of the frame in a row of the window, then learn from it. */
static void observe(kdgat_state *s, int row, int dlc, const uint8_t *payload)
{
    int k = s->slot[row], byte, on_time;
    kdgat_norm *norm = &s->norms[k];
    float *out = s->measures[row];
    double now, gap, rate, trust;
    if (!s->begun) {
        s->begun = 1;
        s->start = s->time[row];
    }
    now = s->time[row] - s->start;
    memset(out, 0, sizeof s->measures[row]);
    out[TRANSITION] = (float)transition(s, k);
    s->frames += 1;
    if (norm->count++ == 0) {
        out[FIRST] = 1;
        norm->born = norm->last = norm->scheduled = now;
        norm->doubted = -1;
        norm->dlc = (uint8_t)dlc;
        memcpy(norm->payload, payload, 8);
        for (byte = 0; byte < 8; byte++) norm->seen[8 * byte + (payload[byte] >> 5)] |= (uint32_t)1 << (payload[byte] & 31);
        return;
    }
    gap = most(now - norm->last, TINY_GAP);
    trust = norm->trust;
    rate = trust < LEARNING ? 1 / (trust + 1) : least(gap / FOLLOWING, 1 / LEARNING);
    on_time = timing(s, norm, now, gap, rate, row);
    norm->last = now;
    compare_payload(norm, payload, dlc, rate, on_time, out);
    if (out[EARLY_SURPRISE] > 0) out[BOTH] = (float)sqrt((double)out[EARLY_SURPRISE] * (out[FLIPS] + out[NOVELTY]));
    if (on_time) {
        norm->scheduled = now;
        norm->doubted = -1;
        norm->trust = trust + 1;
        return;
    }
    norm->doubted = now;
    norm->doubts += 1;
    memcpy(norm->doubted_payload, payload, 8);
    norm->doubted_frame = (int64_t)s->frames - 1;
}

/* The slot of an ID, in the order of their first frames; KDGAT_MOST_IDS if there is no room. */
static int slot_of(kdgat_state *s, uint32_t id)
{
    uint32_t place = (id * 2654435761u) % KDGAT_SLOTS;
    while (s->slot_of[place]) {
        if (s->id_of[s->slot_of[place] - 1] == id) return s->slot_of[place] - 1;
        place = (place + 1) % KDGAT_SLOTS;
    }
    if (s->slots == KDGAT_MOST_IDS) {
        s->ids_without_room++;
        memset(&s->norms[KDGAT_MOST_IDS], 0, sizeof s->norms[0]);
        return KDGAT_MOST_IDS;
    }
    s->id_of[s->slots] = id;
    s->slot_of[place] = ++s->slots;
    return s->slots - 1;
}

/* Nodes by ascending ID, edges in the order of their first occurrence. */
static void build_topology(kdgat_state *s)
{
    int i, n, e;
    s->nodes = s->edges = 0;
    for (i = 0; i < KDGAT_WINDOW; i++) {
        for (n = 0; n < s->nodes && s->node_id[n] < s->id[i]; n++) {}
        if (n < s->nodes && s->node_id[n] == s->id[i]) continue;
        memmove(&s->node_id[n + 1], &s->node_id[n], (size_t)(s->nodes - n) * sizeof s->node_id[0]);
        memmove(&s->node_slot[n + 1], &s->node_slot[n], (size_t)(s->nodes - n) * sizeof s->node_slot[0]);
        s->node_id[n] = s->id[i];
        s->node_slot[n] = s->slot[i];
        s->nodes++;
    }
    for (i = 0; i < KDGAT_WINDOW; i++) {
        int low = 0, high = s->nodes - 1;
        while (low < high) {
            int middle = (low + high) / 2;
            if (s->node_id[middle] < s->id[i]) low = middle + 1; else high = middle;
        }
        s->frame_node[i] = low;
    }
    for (i = 0; i + 1 < KDGAT_WINDOW; i++) {
        int a = s->frame_node[i], b = s->frame_node[i + 1];
        for (e = 0; e < s->edges && (s->source[e] != a || s->target[e] != b); e++) {}
        if (e == s->edges) {
            s->source[e] = a;
            s->target[e] = b;
            s->edges++;
        }
        s->frame_edge[i] = e;
    }
}

static int cohort(const kdgat_state *s, int k)
{
    int others = 0, j;
    for (j = k + 1; j < s->slots && j < k + 65; j++) {
        if (s->norms[j].count == 0 || s->norms[j].born - s->norms[k].born > 1) break;
        others++;
    }
    for (j = k - 1; j >= 0 && j > k - 65; j--) {
        if (s->norms[k].born - s->norms[j].born > 1) break;
        others++;
    }
    return others;
}

static void describe_nodes(kdgat_state *s, double now, double span)
{
    enum { COUNTS = 2 * KDGAT_MEASURES, OF_ID = COUNTS + KDGAT_COUNTED, OF_BUS = OF_ID + 3 };
    int count[KDGAT_WINDOW] = {0}, i, m, c, n, silent = 0, k;
    double newcomers = 0, silence = 0, load = 0;
    memset(s->x, 0, sizeof s->x);
    for (i = 0; i < KDGAT_WINDOW; i++) {
        const float *row = s->measures[i];
        float *out = s->x[s->frame_node[i]];
        int fresh = count[s->frame_node[i]]++ == 0;
        for (m = 0; m < KDGAT_MEASURES; m++) {
            out[m] += row[m];
            if (fresh || row[m] > out[KDGAT_MEASURES + m]) out[KDGAT_MEASURES + m] = row[m];
        }
        for (c = 0; c < KDGAT_COUNTED; c++) if (row[COUNTED[c]] > ABOVE[c]) out[COUNTS + c] += 1;
        newcomers += row[FIRST];
    }
    for (k = 0; k < s->slots; k++) {
        const kdgat_norm *norm = &s->norms[k];
        if (norm->trust >= 20) {
            double overdue = log2(most(now - norm->last, TINY_GAP)) - norm->period - 2 * norm->jitter;
            if (overdue > 3 && overdue < 10) {
                silent++;
                silence = most(silence, overdue);
            }
        }
    }
    if (s->windows > 0) load = least(most(log2(s->window_span / s->windows / span), -6), 6);
    s->window_span += span;
    s->windows += 1;
    for (n = 0; n < s->nodes; n++) {
        const kdgat_norm *norm = &s->norms[s->node_slot[n]];
        float *out = s->x[n];
        for (m = 0; m < KDGAT_MEASURES; m++) out[m] /= (float)count[n];
        for (c = 0; c < KDGAT_COUNTED; c++) if (out[COUNTS + c] > 0) out[COUNTS + c] = (float)log2(1.0 + out[COUNTS + c]);
        out[OF_ID] = (float)(least(log2(1 + norm->trust), 8) / 8);
        if (norm->trust > 2) {
            double period = exp2(norm->period), z = (count[n] - span / period) / sqrt(span / period + 1), missed;
            out[OF_ID + 1] = (float)(z > 1 ? log2(z) : z < -1 ? -log2(-z) : 0);
            missed = least(log2(1 + most(norm->born, 0) / period), 12);
            if (missed > 0) out[OF_ID + 2] = (float)most(missed - 2 * log2(1.0 + cohort(s, s->node_slot[n])), 0);
        }
        out[OF_BUS] = (float)(least(log2(1 + most(now, 0)), 5) / 5);
        out[OF_BUS + 1] = (float)load;
        out[OF_BUS + 2] = (float)log2(1.0 + silent);
        out[OF_BUS + 3] = (float)silence;
        out[OF_BUS + 4] = (float)log2(1 + newcomers);
    }
}

static void describe_edges(kdgat_state *s, double span)
{
    enum { MEAN, LARGEST, COUNT, GAP, LOOP };
    double mean = span / (KDGAT_WINDOW - 1);
    int i, e;
    memset(s->edge_attr, 0, sizeof s->edge_attr);
    for (i = 0; i + 1 < KDGAT_WINDOW; i++) {
        float *row = s->edge_attr[s->frame_edge[i]], surprisal = s->measures[i + 1][TRANSITION];
        row[MEAN] += surprisal;
        if (row[COUNT] == 0 || surprisal > row[LARGEST]) row[LARGEST] = surprisal;
        row[COUNT] += 1;
        row[GAP] = (float)(row[GAP] + most(s->time[i + 1] - s->time[i], 0));
    }
    for (e = 0; e < s->edges; e++) {
        float *row = s->edge_attr[e];
        row[MEAN] /= row[COUNT];
        row[GAP] = (float)log2((row[GAP] / row[COUNT] + 0.1 * mean) / (1.1 * mean));
        row[COUNT] = log2f(row[COUNT]);
        row[LOOP] = s->source[e] == s->target[e];
    }
}
