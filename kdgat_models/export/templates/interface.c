/* An intrusion detector for one CAN bus: a window of KDGAT_WINDOW frames becomes a graph, whose nodes are arbitration IDs, and a
 * graph attention network says whether it is under attack. C99, <math.h> and nothing else: no heap, no files, no clock.
 *
 *     static kdgat_state state;
 *     kdgat_begin(&state);
 *     for each frame on the bus: if (kdgat_push(&state, seconds, id, dlc, payload, &verdict) == 1) ... verdict.attack ...
 *
 * Compile with -O3 and without -ffast-math. To use it from other files, include it there with KDGAT_DECLARATIONS defined.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

@SIZES@

enum { KDGAT_MEASURES = 14, KDGAT_COUNTED = 5, KDGAT_PAIRS = 65536, KDGAT_SLOTS = 4 * KDGAT_MOST_IDS };

/* What is remembered of one arbitration ID. Times are seconds since the first frame. */
typedef struct {
    int64_t count;                       /* frames so far */
    double born, last, scheduled;        /* first frame, last frame, last frame that was on time */
    double trust;                        /* frames that set the norms: those on time */
    double period, jitter, early;        /* log2 s, mean of |log2(gap / period)|, share of early frames */
    double doubted;                      /* last early frame that was not believed, -1: none since the last on time */
    int64_t doubted_frame;
    double doubts, resets;
    int64_t run, longest;                /* frames since the payload changed, and the longest such run before */
    float record, hamming[2], surprisal[2], misses[2];
    float novel[8], hits[16], flips[72];
    uint32_t seen[64];                   /* bitmaps of the values that each byte has had */
    uint8_t successor[256], payload[8], doubted_payload[8], dlc;
} kdgat_norm;

/* All that the detector remembers; none of it is allocated. */
typedef struct {
    double start, window_span, transition, windows, frames; /* of the bus */
    int32_t begun, last_slot, slots, filled;
    uint32_t ids_without_room;           /* frames whose ID came after KDGAT_MOST_IDS others: each counts as never seen before */
    kdgat_norm norms[KDGAT_MOST_IDS + 1]; /* the last is for those */
    uint32_t id_of[KDGAT_MOST_IDS];
    int32_t slot_of[KDGAT_SLOTS];        /* hash table of slots + 1 */
    float followed[KDGAT_MOST_IDS + 1], follows[KDGAT_PAIRS];
    uint32_t id[KDGAT_WINDOW];           /* the frames of this window */
    int32_t slot[KDGAT_WINDOW];
    double time[KDGAT_WINDOW];
    float measures[KDGAT_WINDOW][KDGAT_MEASURES];
    int32_t nodes, edges;                /* the graph of the last window */
    uint32_t node_id[KDGAT_WINDOW];
    int32_t node_slot[KDGAT_WINDOW], frame_node[KDGAT_WINDOW], frame_edge[KDGAT_WINDOW];
    int32_t source[KDGAT_WINDOW], target[KDGAT_WINDOW];
    float x[KDGAT_WINDOW][KDGAT_FEATURES], edge_attr[KDGAT_WINDOW][KDGAT_EDGE_FEATURES];
    float node_logit[KDGAT_WINDOW];
#ifndef KDGAT_FEATURES_ONLY
    float projected[KDGAT_WINDOW][KDGAT_COLUMNS], layers[KDGAT_LAYERS][KDGAT_WINDOW][KDGAT_WIDTH];
    float head[KDGAT_WINDOW][KDGAT_HIDDEN + 1];
    float score[2 * KDGAT_WINDOW][KDGAT_HEADS], pooled[KDGAT_POOLED], linear[KDGAT_POOLED];
    int32_t incoming[KDGAT_WINDOW + 1], from[2 * KDGAT_WINDOW], by_edge[2 * KDGAT_WINDOW];
#endif
} kdgat_state;

typedef struct {
    double begin, end;    /* s, first and last frame of the window, as they were pushed */
    float normal, attacked; /* logits */
    double score;         /* log-odds of "attack" */
    int32_t attack;       /* 1: the score is at least KDGAT_THRESHOLD */
    uint32_t suspect;     /* the ID that most likely attacks, with its logit; 0 and 0 without a node head */
    float suspect_logit;
} kdgat_verdict;

void kdgat_begin(kdgat_state *s);
/* Take the next frame; `payload` has 8 bytes, zero beyond the DLC. Returns 1 and writes `out` if it completes a window, 0 if not. */
int kdgat_push(kdgat_state *s, double time, uint32_t id, uint8_t dlc, const uint8_t payload[8], kdgat_verdict *out);
size_t kdgat_state_size(void);
/* The graph of the last window: nodes with their IDs and features, edges with their ends and features. Returns the nodes. */
typedef struct {
    const float *x, *edge_attr, *node_logit;
    const uint32_t *node_id;
    const int32_t *source, *target;
    int32_t edges;
} kdgat_window;
int kdgat_graph(const kdgat_state *s, kdgat_window *out);

#ifndef KDGAT_DECLARATIONS
