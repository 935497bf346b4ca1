/* The logistic function, without overflow. */
static double logistic(double z)
{
    double e = exp(-fabs(z));
    return z >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* z, but at least low and at most high. */
static double clip(double z, double low, double high)
{
    return z < low ? low : z > high ? high : z;
}

static double relu(double z)
{
    return z > 0 ? z : 0;
}

static double leaky_relu(double z, double slope)
{
    return z > 0 ? z : slope * z;
}

static double elu(double z, double alpha)
{
    return z > 0 ? z : alpha * expm1(z);
}

static double selu(double z)
{
    return 1.0507009873554805 * elu(z, 1.6732632423543772);
}

/* z times the probability that a standard normal variable is below z. */
static double gelu(double z)
{
    return z * 0.5 * erfc(-z / 1.4142135623730951);
}

static double gelu_tanh(double z)
{
    return z * 0.5 * (1 + tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)));
}

/* log(1 + exp(beta z)) / beta, which is z above the threshold. */
static double softplus(double z, double beta, double threshold)
{
    double y = beta * z;
    return y > threshold ? z : ((y > 0 ? y : 0) + log1p(exp(-fabs(y)))) / beta;
}

static double swish(double z, double beta)
{
    return z * logistic(beta * z);
}

static double mish(double z)
{
    return z * tanh(softplus(z, 1, 20));
}

static double hard_logistic(double z, double slope, double offset)
{
    return clip(slope * z + offset, 0, 1);
}

static double hard_tanh(double z)
{
    return clip(z, -1, 1);
}

/* The square; 0 for numbers below 0, which no square root is. */
static double square(double z)
{
    return z > 0 ? z * z : 0;
}

/* x, or value where x is missing. */
static double fill(double x, double value)
{
    return isnan(x) ? value : x;
}

/* The share of known numbers below x: known ones, in rising order, are at evenly spaced levels. */
static double quantile(double x, const double *known, int count)
{
    int first = 0, last;
    if (x <= known[0])
        return 0;
    if (x >= known[count - 1])
        return 1;
    while (known[first] < x)
        first++;
    if (known[first] > x)
        return (first - 1 + (x - known[first - 1]) / (known[first] - known[first - 1])) / (count - 1);
    for (last = first; known[last + 1] == x; last++)
        ;
    return (first + last) / 2.0 / (count - 1);
}

/* The number at a level from 0 to 1 of known ones: the inverse of quantile. */
static double at_level(double level, const double *known, int count)
{
    double position = clip(level, 0, 1) * (count - 1);
    int below = (int)position;
    return below == count - 1 ? known[below] : known[below] + (position - below) * (known[below + 1] - known[below]);
}

/* Day 0 of a date's year, counted as the date is: in days since 1970-01-01. */
static double year_start(double year)
{
    double former = year - 1;
    return 365 * (year - 1970) + floor(former / 4) - floor(former / 100) + floor(former / 400) - 477;
}

/* The year of a date in days since 1970-01-01. */
static double year(double days)
{
    double found = floor(days / 365.2425) + 1970;
    if (year_start(found) > floor(days))
        found--;
    return year_start(found + 1) <= floor(days) ? found + 1 : found;
}

/* The day of the year of a date, from 0. */
static double day_of_year(double days)
{
    return floor(days) - year_start(year(days));
}

/* The month of a date, from 0. */
static double month(double days)
{
    static const int ends[] = {31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    double found = year(days), day = day_of_year(days);
    int leap = year_start(found + 1) - year_start(found) > 365, k = 0;
    while (k < 11 && day >= ends[k] + (leap && k > 0))
        k++;
    return k;
}

/* The weekday of a date, from 0 for Monday. */
static double weekday(double days)
{
    double day = floor(days) + 3;
    return day - 7 * floor(day / 7);
}

/* The code of a text, other if it is not known, or missing if there is none. */
static int code(const char *text, const struct code *known, int count, int other, int missing)
{
    int k;
    if (text == NULL)
        return missing;
    for (k = 0; k < count; k++)
        if (strcmp(text, known[k].text) == 0)
            return known[k].code;
    return other;
}

/* 1 at the position of a code, 0 elsewhere. */
static void one_hot(int code, int width, double *x)
{
    int k;
    for (k = 0; k < width; k++)
        x[k] = k == code;
}

/* y = W x + b for W [outputs, inputs]; b may be NULL. */
static void linear(const real *w, const real *b, int outputs, int inputs, const double *x, double *y)
{
    int k, i;
    for (k = 0; k < outputs; k++) {
        double sum = 0;
        for (i = 0; i < inputs; i++)
            sum += w[k * inputs + i] * x[i];
        y[k] = b ? sum + b[k] : sum;
    }
}

/* The state of a recurrent cell before its activation: W x + b + V state + c. */
static void recurrent(const real *w, const real *b, const real *v, const real *c, int units, int inputs,
                      const double *x, const double *state, double *z)
{
    int k, i;
    for (k = 0; k < units; k++) {
        double sum = (b ? b[k] : 0) + (c ? c[k] : 0);
        for (i = 0; i < inputs; i++)
            sum += w[k * inputs + i] * x[i];
        for (i = 0; i < units; i++)
            sum += v[k * units + i] * state[i];
        z[k] = sum;
    }
}

/* Batch norm with the means and variances of the training. */
static void batch_norm(double *x, int units, const real *mean, const real *variance, const real *gain,
                       const real *shift)
{
    int k;
    for (k = 0; k < units; k++)
        x[k] = (x[k] - mean[k]) / sqrt(variance[k] + 1e-5) * gain[k] + shift[k];
}

/* Layer norm: mean 0 and variance 1 over the units of a row. */
static void layer_norm(double *x, int units, const real *gain, const real *shift)
{
    double mean = 0, variance = 0;
    int k;
    for (k = 0; k < units; k++)
        mean += x[k] / units;
    for (k = 0; k < units; k++)
        variance += (x[k] - mean) * (x[k] - mean) / units;
    for (k = 0; k < units; k++)
        x[k] = (x[k] - mean) / sqrt(variance + 1e-5) * gain[k] + shift[k];
}

/* Probabilities that sum to 1, in place of logits. */
static void softmax(double *y, int count)
{
    double largest = y[0], sum = 0;
    int k;
    for (k = 1; k < count; k++)
        largest = y[k] > largest ? y[k] : largest;
    for (k = 0; k < count; k++)
        sum += y[k] = exp(y[k] - largest);
    for (k = 0; k < count; k++)
        y[k] /= sum;
}

/* The position of the largest number, the first among equals. */
static int largest_of(const double *y, int count)
{
    int found = 0, k;
    for (k = 1; k < count; k++)
        found = y[k] > y[found] ? k : found;
    return found;
}

/* Numbers in rising order, in place. */
static void sort(double *y, int count)
{
    int k, i;
    for (k = 1; k < count; k++) {
        double value = y[k];
        for (i = k; i > 0 && y[i - 1] > value; i--)
            y[i] = y[i - 1];
        y[i] = value;
    }
}

/* The row of a code in a table with so many columns. */
static void look_up(int code, const double *table, int columns, double *x)
{
    int k;
    for (k = 0; k < columns; k++)
        x[k] = table[code * columns + k];
}
