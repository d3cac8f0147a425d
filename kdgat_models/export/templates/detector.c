/* The functions of the interface. With KDGAT_FEATURES_ONLY, a window is whole once its graph is, and nothing judges it. */
void kdgat_begin(kdgat_state *s) { memset(s, 0, sizeof *s); }

size_t kdgat_state_size(void) { return sizeof(kdgat_state); }

int kdgat_push(kdgat_state *s, double time, uint32_t id, uint8_t dlc, const uint8_t payload[8], kdgat_verdict *out)
{
    int row = s->filled;
    double span;
    s->id[row] = id;
    s->time[row] = time;
    s->slot[row] = slot_of(s, id);
    observe(s, row, dlc, payload);
    if (++s->filled < KDGAT_WINDOW) return 0;
    s->filled = 0;
    span = most(s->time[KDGAT_WINDOW - 1] - s->time[0], TINY_GAP);
    build_topology(s);
    describe_nodes(s, s->time[KDGAT_WINDOW - 1] - s->start, span);
    describe_edges(s, span);
    out->begin = s->time[0];
    out->end = s->time[KDGAT_WINDOW - 1];
#ifndef KDGAT_FEATURES_ONLY
    classify(s, out);
#endif
    return 1;
}

int kdgat_graph(const kdgat_state *s, kdgat_window *out)
{
    out->x = s->x[0];
    out->edge_attr = s->edge_attr[0];
    out->node_logit = s->node_logit;
    out->node_id = s->node_id;
    out->source = s->source;
    out->target = s->target;
    out->edges = s->edges;
    return s->nodes;
}
#endif
