/* The network: graph attention (Shi et al. 2021, eq. 3-4), batch normalisation and embedding folded into the weights. */
static void multiply(const float *a, int n, int inner, const float *b, int m, float *out, int stride, int stride_a)
{
    int i, k, j;
    for (i = 0; i < n; i++)
        for (k = 0; k < inner; k++) {
            const float factor = a[i * stride_a + k], *row = b + k * m;
            float *restrict to = out + i * stride;
            for (j = 0; j < m; j++) to[j] += factor * row[j];
        }
}

static void sort_incoming(kdgat_state *s)
{
    int i, e, next[KDGAT_WINDOW];
    memset(s->incoming, 0, sizeof s->incoming);
    for (e = 0; e < s->edges; e++) if (!(KDGAT_REPLACE_LOOPS && s->source[e] == s->target[e])) s->incoming[s->target[e] + 1]++;
    for (i = 0; i < s->nodes; i++) s->incoming[i + 1] += s->incoming[i] + 1;
    for (i = 0; i < s->nodes; i++) next[i] = s->incoming[i];
    for (e = 0; e < s->edges; e++) {
        if (KDGAT_REPLACE_LOOPS && s->source[e] == s->target[e]) continue;
        s->from[next[s->target[e]]] = s->source[e];
        s->by_edge[next[s->target[e]]++] = e;
    }
    for (i = 0; i < s->nodes; i++) {
        s->from[next[i]] = i;
        s->by_edge[next[i]] = -1;
    }
}

static void softmax(float *score, int n, int heads)
{
    int h, p;
    for (h = 0; h < heads; h++) {
        float highest = score[h], total = 1e-16f;
        for (p = 1; p < n; p++) if (score[p * heads + h] > highest) highest = score[p * heads + h];
        for (p = 0; p < n; p++) total += score[p * heads + h] = expf(score[p * heads + h] - highest);
        for (p = 0; p < n; p++) score[p * heads + h] /= total;
    }
}

static void attend(kdgat_state *s, const float *edge, float (*out)[KDGAT_WIDTH])
{
    enum { C = KDGAT_WIDTH / KDGAT_HEADS, D = KDGAT_EDGE_FEATURES };
    int i, p, h, c, d;
    for (i = 0; i < s->nodes; i++) {
        const float *own = s->projected[i], *seen = own + 4 * KDGAT_WIDTH;
        int begin = s->incoming[i], end = s->incoming[i + 1];
        for (p = begin; p < end; p++) {
            const float *key = s->projected[s->from[p]] + KDGAT_WIDTH;
            for (h = 0; h < KDGAT_HEADS; h++) {
                float total = 0;
                for (c = 0; c < C; c++) total += own[h * C + c] * key[h * C + c];
                if (s->by_edge[p] >= 0) for (d = 0; d < D; d++) total += seen[h * D + d] * s->edge_attr[s->by_edge[p]][d];
                s->score[p][h] = total;
            }
        }
        softmax(s->score[begin], end - begin, KDGAT_HEADS);
        for (c = 0; c < KDGAT_WIDTH; c++) out[i][c] = own[3 * KDGAT_WIDTH + c];
        for (h = 0; h < KDGAT_HEADS; h++) {
            float sum[D] = {0};
            float *to = out[i] + h * C;
            for (p = begin; p < end; p++) {
                const float weight = s->score[p][h], *value = s->projected[s->from[p]] + 2 * KDGAT_WIDTH + h * C;
                for (c = 0; c < C; c++) to[c] += weight * value[c];
                if (s->by_edge[p] >= 0) for (d = 0; d < D; d++) sum[d] += weight * s->edge_attr[s->by_edge[p]][d];
            }
            for (d = 0; d < D; d++) for (c = 0; c < C; c++) to[c] += sum[d] * edge[d * KDGAT_WIDTH + h * C + c];
        }
        for (c = 0; c < KDGAT_WIDTH; c++) if (out[i][c] < 0) out[i][c] = expf(out[i][c]) - 1;
    }
}

static int id_index(uint32_t id)
{
    int low = 0, high = KDGAT_KNOWN_IDS - 1;
    if (KDGAT_BUCKETS) return 1 + (int)((((uint64_t)id * 0x9E3779B97F4A7C15u) >> 33) % (KDGAT_BUCKETS ? KDGAT_BUCKETS : 1));
    while (low <= high) {
        int middle = (low + high) / 2;
        if (KNOWN_IDS[middle] == id) return middle + 1;
        if (KNOWN_IDS[middle] < id) low = middle + 1; else high = middle - 1;
    }
    return 0;
}

static void pool(kdgat_state *s)
{
    enum { JUMPED = KDGAT_LAYERS * KDGAT_WIDTH };
    float heard[KDGAT_WINDOW];
    int i, l, c;
    for (i = 0; i < s->nodes; i++) heard[i] = 1.0f / (float)s->nodes;
    if (KDGAT_POOLING == KDGAT_POOL_ATTENTION) {
        for (i = 0; i < s->nodes; i++) {
            heard[i] = GATE[KDGAT_GATES - 1];
            for (l = 0; l < KDGAT_LAYERS; l++)
                for (c = 0; c < KDGAT_WIDTH; c++) heard[i] += s->layers[l][i][c] * GATE[(l * KDGAT_WIDTH + c) % KDGAT_GATES];
        }
        softmax(heard, s->nodes, 1);
    }
    for (l = 0; l < KDGAT_LAYERS; l++)
        for (c = 0; c < KDGAT_WIDTH; c++) {
            float sum = 0, highest = s->layers[l][0][c];
            for (i = 0; i < s->nodes; i++) {
                sum += heard[i] * s->layers[l][i][c];
                if (s->layers[l][i][c] > highest) highest = s->layers[l][i][c];
            }
            s->pooled[l * KDGAT_WIDTH + c] = KDGAT_POOLING == KDGAT_POOL_MAX ? highest : sum;
            if (KDGAT_POOLING == KDGAT_POOL_MEAN_MAX) s->pooled[(JUMPED + l * KDGAT_WIDTH + c) % KDGAT_POOLED] = highest;
        }
}

static void classify(kdgat_state *s, kdgat_verdict *out)
{
    int i, j, l, width, suspect = 0;
    float worst = 0;
    sort_incoming(s);
    for (i = 0; i < s->nodes; i++) memcpy(s->projected[i], TABLE + id_index(s->node_id[i]) * KDGAT_COLUMNS, sizeof s->projected[i]);
    memset(s->head, 0, sizeof s->head);
    for (l = 0; l < KDGAT_LAYERS; l++) {
        if (l > 0) for (i = 0; i < s->nodes; i++) memcpy(s->projected[i], BIASES[l], sizeof s->projected[i]);
        if (l == 0) multiply(s->x[0], s->nodes, KDGAT_FEATURES, WEIGHTS[0], KDGAT_COLUMNS, s->projected[0], KDGAT_COLUMNS, KDGAT_FEATURES);
        else multiply(s->layers[l - 1][0], s->nodes, KDGAT_WIDTH, WEIGHTS[l], KDGAT_COLUMNS, s->projected[0], KDGAT_COLUMNS, KDGAT_WIDTH);
        for (i = 0; i < s->nodes; i++)
            for (j = 0; j < KDGAT_HIDDEN; j++) s->head[i][j] += s->projected[i][KDGAT_COLUMNS - KDGAT_HIDDEN + j];
        attend(s, EDGES[l], s->layers[l]);
    }
    if (KDGAT_HIDDEN) {
        multiply(s->layers[KDGAT_LAYERS - 1][0], s->nodes, KDGAT_WIDTH, HEAD_LAST, KDGAT_HIDDEN, s->head[0], KDGAT_HIDDEN + 1, KDGAT_WIDTH);
        for (i = 0; i < s->nodes; i++) {
            float total = HEAD_OUTPUT[KDGAT_HIDDEN];
            for (j = 0; j < KDGAT_HIDDEN; j++) total += s->head[i][j] > 0 ? s->head[i][j] * HEAD_OUTPUT[j] : 0;
            s->node_logit[i] = total;
            if (i == 0 || total > worst) {
                worst = total;
                suspect = i;
            }
        }
    }
    pool(s);
    for (l = 0, width = KDGAT_POOLED; l < KDGAT_LINEARS; l++, width = KDGAT_POOLED) {
        int outputs = l == KDGAT_LINEARS - 1 ? 2 : KDGAT_POOLED;
        for (j = 0; j < outputs; j++) s->linear[j] = LINEAR_BIASES[l][j];
        multiply(s->pooled, 1, width, LINEARS[l], outputs, s->linear, outputs, width);
        for (j = 0; j < outputs; j++) s->pooled[j] = l < KDGAT_LINEARS - 1 && s->linear[j] < 0 ? 0 : s->linear[j];
    }
    out->normal = s->pooled[0];
    out->attacked = s->pooled[1] + worst;
    out->score = (double)out->attacked - (double)out->normal;
    out->attack = out->score >= KDGAT_THRESHOLD;
    out->suspect = KDGAT_HIDDEN ? s->node_id[suspect] : 0;
    out->suspect_logit = worst;
}
