/*
 * Bitmap updates of [MS-RDPBCGR] 2.2.9.1.1.3.1.2 without loss: planar ([MS-RDPEGDI] 2.2.2.5.1) for
 * viewers with 32 bits a pixel, interleaved runs for those with less. A change is sent by tiles; as
 * many go into one update as the viewer takes.
 */
#include <string.h>

#include "console/rdp.h"

#define TILES      64                                    /* in one update */
#define TILE_ROOM  (2 * RDP_TILE_WIDTH * FRAME_BAND * 4) /* more than what does not compress */
#define UPDATE_MAX 0xc000u
#define OF_TILE    32   /* bytes before a tile's pixels, and more */
#define OF_UPDATE  1024 /* likewise */

/* Tiles that wait to be sent. */
struct update {
	struct rdp *rdp;
	unsigned int count;
	size_t bytes, most;
	BITMAP_DATA tiles[TILES];
	uint8_t room[TILES][TILE_ROOM];
};

bool rdp_picture_begin(struct rdp_picture *picture)
{
	picture->planar = freerdp_bitmap_planar_context_new(
		PLANAR_FORMAT_HEADER_RLE | PLANAR_FORMAT_HEADER_NA, RDP_TILE_WIDTH, FRAME_BAND);
	picture->interleaved = bitmap_interleaved_context_new(TRUE);
	return picture->planar != NULL && picture->interleaved != NULL;
}

static bool flush(struct update *update)
{
	BITMAP_UPDATE bitmaps = {
		.count = update->count, .number = update->count, .rectangles = update->tiles};
	rdpUpdate *to = update->rdp->peer->update;
	bool sent = update->count == 0 || to->BitmapUpdate(to->context, &bitmaps);

	update->count = 0;
	update->bytes = 0;
	return sent;
}

/* What is right of the frame repeats its last column: a tile's width is a multiple of 4. */
static void copy_tile(const struct frame *frame, const BITMAP_DATA *tile, uint32_t *to)
{
	const uint32_t *line;
	unsigned int x, y;

	for (y = 0; y < tile->height; y++, to += tile->width) {
		line = (const uint32_t *)frame->pixels + (size_t)(tile->destTop + y) * frame->width;
		for (x = 0; x < tile->width; x++) {
			to[x] = line[tile->destLeft + x < frame->width ? tile->destLeft + x
								       : frame->width - 1];
		}
	}
}

static bool compress(struct rdp *rdp, BITMAP_DATA *tile, uint8_t *to)
{
	uint32_t pixels[RDP_TILE_WIDTH * FRAME_BAND];
	UINT32 bits = rdp->peer->settings->ColorDepth, size = TILE_ROOM;
	bool done;

	copy_tile(&rdp->frame, tile, pixels);
	if (bits == 32) {
		done = freerdp_bitmap_compress_planar(
			       rdp->picture.planar, (const BYTE *)pixels, PIXEL_FORMAT_RGBX32,
			       tile->width, tile->height, tile->width * 4, to, &size) != NULL;
	} else {
		done = interleaved_compress(rdp->picture.interleaved, to, &size, tile->width,
					    tile->height, (const BYTE *)pixels, PIXEL_FORMAT_RGBX32,
					    tile->width * 4, 0, 0, NULL, bits);
	}
	tile->bitsPerPixel = bits;
	tile->bitmapDataStream = to;
	tile->bitmapLength = tile->cbCompMainBodySize = size;
	tile->cbScanWidth = tile->width * ((bits + 7) / 8);
	tile->cbUncompressedSize = tile->cbScanWidth * tile->height;
	tile->compressed = TRUE;
	return done;
}

static bool add_tile(struct update *update, unsigned int left, const struct frame_change *change)
{
	unsigned int right = left + RDP_TILE_WIDTH;
	BITMAP_DATA tile;

	right = right < change->right ? right : change->right;
	tile = (BITMAP_DATA){
		.destLeft = left,
		.destTop = change->top,
		.destRight = right - 1,
		.destBottom = change->bottom - 1,
		.width = (right - left + 3) & ~3u,
		.height = change->bottom - change->top,
	};
	if (!compress(update->rdp, &tile, update->room[update->count])) {
		return false;
	}
	update->tiles[update->count++] = tile;
	update->bytes += tile.bitmapLength + OF_TILE;
	return (update->count < TILES && update->bytes + TILE_ROOM / 2 + OF_TILE < update->most) ||
	       flush(update);
}

bool rdp_picture_send(struct rdp *rdp, const struct frame_change *changes, unsigned int count)
{
	static struct update update;
	const rdpSettings *settings = rdp->peer->settings;
	unsigned int i, left;

	update.rdp = rdp;
	update.most = settings->MultifragMaxRequestSize < UPDATE_MAX
			      ? settings->MultifragMaxRequestSize
			      : UPDATE_MAX;
	update.most -= update.most < OF_UPDATE ? update.most : OF_UPDATE;
	for (i = 0; i < count; i++) {
		struct frame_change change = changes[i];

		change.right = change.right < settings->DesktopWidth ? change.right
								     : settings->DesktopWidth;
		change.bottom = change.bottom < settings->DesktopHeight ? change.bottom
									: settings->DesktopHeight;
		if (change.top >= change.bottom) {
			continue;
		}
		/* On a boundary of 4 pixels, where some viewers want it. */
		for (left = change.left & ~3u; left < change.right; left += RDP_TILE_WIDTH) {
			if (!add_tile(&update, left, &change)) {
				return false;
			}
		}
	}
	return flush(&update);
}
