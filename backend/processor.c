/*
 * The processor's features (SDM volume 2A and APM volume 3, CPUID), as user space of the root sees
 * them. A guest has no others; what an operating system turns on by itself (OSXSAVE, OSPKE) is no
 * feature.
 */
#include "backend/backend.h"

#include <cpuid.h>
#include <stdio.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };

static const struct word {
	uint32_t leaf, index;
	uint8_t where;
	uint32_t mask; /* bits that are features */
} words[BACKEND_FEATURE_WORDS] = {
	{1, 0, ECX, ~(1u << 27 | 1u << 31)},
	{1, 0, EDX, ~0u},
	{7, 0, EBX, ~0u},
	{7, 0, ECX, ~(1u << 4)},
	{7, 0, EDX, ~0u},
	{0xd, 1, EAX, 0xfu},
	{0x80000001, 0, ECX, ~0u},
	{0x80000001, 0, EDX, ~0u},
};

/* Those that programs ask for. */
static const struct {
	uint8_t word, bit;
	const char *name;
} names[] = {
	{0, 0, "SSE3"},     {0, 1, "PCLMULQDQ"}, {0, 9, "SSSE3"},    {0, 12, "FMA"},
	{0, 13, "CX16"},    {0, 17, "PCID"},     {0, 19, "SSE4.1"},  {0, 20, "SSE4.2"},
	{0, 21, "x2APIC"},  {0, 22, "MOVBE"},    {0, 23, "POPCNT"},  {0, 25, "AES"},
	{0, 26, "XSAVE"},   {0, 28, "AVX"},      {0, 29, "F16C"},    {0, 30, "RDRAND"},
	{1, 25, "SSE"},     {1, 26, "SSE2"},     {2, 0, "FSGSBASE"}, {2, 3, "BMI1"},
	{2, 5, "AVX2"},     {2, 7, "SMEP"},      {2, 8, "BMI2"},     {2, 9, "ERMS"},
	{2, 10, "INVPCID"}, {2, 16, "AVX512F"},  {2, 18, "RDSEED"},  {2, 19, "ADX"},
	{2, 20, "SMAP"},    {2, 29, "SHA"},      {3, 2, "UMIP"},     {3, 3, "PKU"},
	{3, 9, "VAES"},     {3, 16, "LA57"},     {3, 22, "RDPID"},   {5, 0, "XSAVEOPT"},
	{5, 1, "XSAVEC"},   {5, 3, "XSAVES"},    {6, 5, "LZCNT"},    {6, 6, "SSE4A"},
	{7, 20, "NX"},      {7, 26, "1G pages"}, {7, 27, "RDTSCP"},
};

static uint32_t read_word(const struct word *word)
{
	uint32_t registers[4] = {0};

	/* A leaf that is not there has no features. */
	if (__get_cpuid_count(word->leaf, word->index, &registers[EAX], &registers[EBX],
			      &registers[ECX], &registers[EDX]) == 0) {
		return 0;
	}
	return registers[word->where] & word->mask;
}

void backend_processor(struct backend_processor *processor)
{
	uint32_t highest, b = 0, c = 0, d = 0;
	unsigned int i;

	*processor = (struct backend_processor){.vendor = ""};
	if (__get_cpuid(0, &highest, &b, &c, &d)) {
		memcpy(processor->vendor, &b, 4);
		memcpy(processor->vendor + 4, &d, 4);
		memcpy(processor->vendor + 8, &c, 4);
	}
	for (i = 0; i < BACKEND_FEATURE_WORDS; i++) {
		processor->features[i] = read_word(&words[i]);
	}
}

void backend_feature_name(unsigned int word, unsigned int bit, char *text, size_t size)
{
	static const char *const registers[] = {"EAX", "EBX", "ECX", "EDX"};
	const char *name = NULL;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		name = names[i].word == word && names[i].bit == bit ? names[i].name : name;
	}
	snprintf(text, size, "%s%sCPUID %x %s bit %u", name != NULL ? name : "",
		 name != NULL ? ", " : "", words[word].leaf, registers[words[word].where], bit);
}
