// The things that todos are about, grouped by what is done with them: English words, then Japanese words.

const WORDS = {
  buy: `milk|牛乳
eggs|卵
bread,a loaf of bread|パン
butter|バター
cheese|チーズ
rice|お米
coffee,coffee beans|コーヒー
tea,green tea|お茶
apples,fruit|りんご
bananas|バナナ
tomatoes,vegetables|野菜
fish,salmon|魚
meat,beef,chicken|肉
mineral water,bottled water|水
sugar|砂糖
salt|塩
light bulbs,lamps|電球
batteries|電池
toilet paper|トイレットペーパー
soap,shampoo|石けん
cat food,food for the cat|猫のえさ
dog food,food for the dog|犬のえさ
flowers,roses|花
a birthday present,a birthday gift|誕生日プレゼント
a new umbrella,an umbrella|傘
new shoes,sneakers|靴
a winter coat,a warm jacket|コート
paint|ペンキ
printer paper,printer ink|プリンター
stamps|切手
wine|ワイン
medicine,pills|薬
toothpaste,a toothbrush|歯ブラシ
a new pan,pots and pans|フライパン`,
  call: `the dentist,the tooth doctor|歯医者
the doctor,the clinic|医者
the plumber|水道屋
the electrician|電気屋
the landlord,the owner of the flat|大家さん
the bank|銀行
mum,my mother|お母さん
dad,my father|お父さん
grandma,my grandmother|おばあちゃん
the school,the teacher|学校
the lawyer|弁護士
the insurance company,the insurance|保険会社
the boss,my manager|上司
the hairdresser,the barber|美容院
the vet,the animal doctor|獣医
the neighbour,the people next door|隣の人
the library|図書館`,
  pay: `the rent|家賃
the electricity bill,the power bill|電気代
the water bill|水道代
the gas bill|ガス代
the phone bill|電話代
the internet bill|ネット代
the taxes,the tax office|税金
the parking fine,the parking ticket|駐車違反
the credit card|カード
the gym fee|ジム
the school fees|学費
the kindergarten,the day care|保育園`,
  fix: `the bike,the bicycle|自転車
the car,the brakes|車
the washing machine,the washer|洗濯機
the fridge,the refrigerator|冷蔵庫
the tap,the faucet|蛇口
the door handle,the front door|ドア
the lock|鍵
the blinds|ブラインド
the heater,the heating|暖房
the computer,the laptop|パソコン
the phone screen,the phone|携帯
the roof|屋根
the shelf|棚
the clock|時計
the printer,the scanner|スキャナー`,
  clean: `the kitchen|台所
the bathroom,the shower|お風呂
the garage|ガレージ
the windows|窓ガラス
the dishes,the plates|お皿
the laundry,the clothes|洗濯物
the carpet,the rug|じゅうたん
the garden,the lawn|庭
the oven|オーブン
the desk|机
the basement,the cellar|地下室
the fish tank,the aquarium|水槽`,
  book: `the hotel,a room|ホテル
the flight,plane tickets|飛行機
the train tickets,the train|電車
a table at the restaurant,the restaurant|レストラン
the concert tickets,the concert|コンサート
a haircut|散髪
the meeting room|会議室
the taxi|タクシー
the museum tour|博物館
a swimming lesson,swimming|水泳
the holiday house,the cottage|別荘`,
  write: `the report|報告書
the tax return|確定申告
the letter to the city,the letter|手紙
the presentation,the slides|発表
the invitations,the party invitations|招待状
the essay,the homework|宿題
the job application,the application|応募
the passport form,the passport|パスポート
the blog post,the article|記事
the meeting notes,the minutes|議事録
the newsletter|ニュースレター
the shopping list|買い物リスト`,
};

/** What is done with the thing. `meet` is for people, whose names are invented. */
export type Deed = keyof typeof WORDS | "meet";
export type Thing = { deed: Deed; english: readonly string[]; japanese: readonly string[] };

const split = (words: string) => words.split(",").filter((word) => word !== "");

export const THINGS: readonly Thing[] = Object.entries(WORDS).flatMap(([deed, block]) =>
  block.split("\n").map((line) => {
    const [english = "", japanese = ""] = line.split("|");
    return { deed: deed as Deed, english: split(english), japanese: split(japanese) };
  }),
);

/** The words people sort such todos by. */
export const CATEGORIES: Record<Deed, readonly string[]> = {
  buy: ["shopping", "groceries", "買い物"],
  call: ["calls", "phone", "電話"],
  pay: ["bills", "money", "支払い"],
  fix: ["repairs", "home", "修理"],
  clean: ["housework", "home", "家事"],
  book: ["travel", "plans", "予約"],
  write: ["work", "papers", "仕事"],
  meet: ["people", "friends", "人"],
};
